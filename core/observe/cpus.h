/* What CPUs have done and cost each other, by CPU, for the forms of --stats and for the timeline. */
#ifndef CORE_OBSERVE_CPUS_H
#define CORE_OBSERVE_CPUS_H

#include "core/observe/json.h"

/* The member "cpus": an object for each CPU. Only where the program can create threads. */
void cpus_add(struct json *);
/* For samples: the members "busy", ns by CPU, and "contended" and "shootdowns" of all. Likewise. */
void cpus_add_sample(struct json *);
/* A row for each CPU, where there are several. */
void cpus_print(void);

#endif
