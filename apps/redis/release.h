/* What src/mkreleasehdr.sh of redis writes on the machine that it is built on: here, the same for everyone. */
#define REDIS_GIT_SHA1 "00000000"
#define REDIS_GIT_DIRTY "0"
#define REDIS_BUILD_ID "quire"
