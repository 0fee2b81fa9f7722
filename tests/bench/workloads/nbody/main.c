/*
 * Bodies under gravity after Barnes and Hut ("A hierarchical O(N log N) force-calculation algorithm", Nature 324,
 * 1986): an octree is built anew in each step, a malloc for each node, and freed after the step.
 *
 * Checked: every tree holds all bodies and all mass, and in the end the accelerations of some bodies are those that the
 * sum over all bodies gives, up to the error that the method allows; of a tree that is opened down to the bodies, up to
 * rounding.
 */
#include <math.h>

#include "tests/bench/bench.h"

#define BODIES 2000u
#define STEPS 8u       /* times the scale */
#define OPENING 0.6    /* a cell that looks larger than this is opened */
#define SOFTENING 0.01 /* added to squares of distances */
#define TIME_STEP 0.001
#define DEPTH_MOST 64u
#define SAMPLES 40u
#define ERROR_MOST 0.02 /* of an acceleration, root of the mean square */
#define ROUNDING_MOST 1e-12
#define SEED 0x9e6c63d0876a9a47

struct vector {
    double at[3];
};

struct body {
    struct vector place, speed, acceleration;
    double mass;
};

/* A cube: with one body, or divided. */
struct node {
    struct node *children[8];
    const struct body *body;
    struct vector center, mass_center;
    double half, mass;
    uint32_t bodies;
};

static struct body bodies[BODIES];

static double random_unit(uint64_t *random)
{
    return (double)(bench_random(random) >> 11) * 0x1p-53;
}

static void make_bodies(void)
{
    uint64_t random = SEED;

    for (uint32_t i = 0; i < BODIES; i++) {
        for (unsigned axis = 0; axis < 3; axis++) {
            bodies[i].place.at[axis] = random_unit(&random) * random_unit(&random);
            bodies[i].speed.at[axis] = random_unit(&random) - 0.5;
        }
        bodies[i].mass = (0.5 + random_unit(&random)) / BODIES;
    }
}

static struct node *make_node(struct vector center, double half)
{
    struct node *node = bench_malloc(sizeof(*node));

    *node = (struct node){.center = center, .half = half};
    return node;
}

static void insert(struct node *node, const struct body *body, unsigned depth);

static void insert_below(struct node *node, const struct body *body, unsigned depth)
{
    struct vector center = node->center;
    unsigned child = 0;

    for (unsigned axis = 0; axis < 3; axis++) {
        bool upper = body->place.at[axis] >= center.at[axis];

        child |= (unsigned)upper << axis;
        center.at[axis] += (upper ? 0.5 : -0.5) * node->half;
    }
    if (!node->children[child])
        node->children[child] = make_node(center, node->half / 2);
    insert(node->children[child], body, depth + 1);
}

static void insert(struct node *node, const struct body *body, unsigned depth)
{
    if (depth > DEPTH_MOST)
        bench_fail("the place of a body is wrong: two are at the same");
    if (node->bodies == 1) {
        insert_below(node, node->body, depth);
        node->body = NULL;
    }
    if (node->bodies++ == 0)
        node->body = body;
    else
        insert_below(node, body, depth);
    node->mass += body->mass;
    for (unsigned axis = 0; axis < 3; axis++)
        node->mass_center.at[axis] += body->mass * body->place.at[axis];
}

/* From sums to means. */
static void finish(struct node *node)
{
    for (unsigned axis = 0; axis < 3; axis++)
        node->mass_center.at[axis] /= node->mass;
    for (unsigned i = 0; i < 8; i++) {
        if (node->children[i])
            finish(node->children[i]);
    }
}

/* The smallest cube from the least corner that holds all bodies. */
static struct node *build(void)
{
    struct vector least = bodies[0].place;
    double edge = 0;

    for (uint32_t i = 0; i < BODIES; i++) {
        for (unsigned axis = 0; axis < 3; axis++)
            least.at[axis] = fmin(least.at[axis], bodies[i].place.at[axis]);
    }
    for (uint32_t i = 0; i < BODIES; i++) {
        for (unsigned axis = 0; axis < 3; axis++)
            edge = fmax(edge, bodies[i].place.at[axis] - least.at[axis]);
    }
    for (unsigned axis = 0; axis < 3; axis++)
        least.at[axis] += edge / 2;
    struct node *root = make_node(least, edge / 2);

    for (uint32_t i = 0; i < BODIES; i++)
        insert(root, &bodies[i], 0);
    finish(root);
    return root;
}

static void tear_down(struct node *node)
{
    for (unsigned i = 0; i < 8; i++) {
        if (node->children[i])
            tear_down(node->children[i]);
    }
    free(node);
}

/* What a mass at the place pulls with. */
static void attract(const struct body *body, const struct vector *place, double mass, struct vector *acceleration)
{
    struct vector distance;
    double square = SOFTENING;

    for (unsigned axis = 0; axis < 3; axis++) {
        distance.at[axis] = place->at[axis] - body->place.at[axis];
        square += distance.at[axis] * distance.at[axis];
    }
    double factor = mass / (square * sqrt(square));

    for (unsigned axis = 0; axis < 3; axis++)
        acceleration->at[axis] += factor * distance.at[axis];
}

static bool is_far(const struct body *body, const struct node *node, double opening)
{
    double square = 0, edge = 2 * node->half;

    for (unsigned axis = 0; axis < 3; axis++) {
        double distance = node->mass_center.at[axis] - body->place.at[axis];

        square += distance * distance;
    }
    return edge * edge < opening * opening * square;
}

static void sum_tree(const struct body *body, const struct node *node, double opening, struct vector *acceleration)
{
    if (node->body == body)
        return;
    if (node->body || is_far(body, node, opening)) {
        attract(body, &node->mass_center, node->mass, acceleration);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        if (node->children[i])
            sum_tree(body, node->children[i], opening, acceleration);
    }
}

static void accelerate(const struct node *root)
{
    double mass = 0;

    for (uint32_t i = 0; i < BODIES; i++) {
        bodies[i].acceleration = (struct vector){{0}};
        sum_tree(&bodies[i], root, OPENING, &bodies[i].acceleration);
        mass += bodies[i].mass;
    }
    bench_check_number("the number of bodies in a tree", root->bodies, BODIES);
    bench_check(fabs(root->mass - mass) < ROUNDING_MOST * mass, "the mass of a tree");
}

static void move_bodies(void)
{
    for (uint32_t i = 0; i < BODIES; i++) {
        for (unsigned axis = 0; axis < 3; axis++) {
            bodies[i].speed.at[axis] += TIME_STEP * bodies[i].acceleration.at[axis];
            bodies[i].place.at[axis] += TIME_STEP * bodies[i].speed.at[axis];
        }
    }
}

static struct vector sum_all(uint32_t number)
{
    struct vector sum = {{0}};

    for (uint32_t i = 0; i < BODIES; i++) {
        if (i != number)
            attract(&bodies[number], &bodies[i].place, bodies[i].mass, &sum);
    }
    return sum;
}

/* The square of the relative error. */
static double error_of(const struct vector *found, const struct vector *wanted)
{
    double difference = 0, square = 0;

    for (unsigned axis = 0; axis < 3; axis++) {
        double off = found->at[axis] - wanted->at[axis];

        difference += off * off;
        square += wanted->at[axis] * wanted->at[axis];
    }
    return difference / square;
}

static void check_error(double squares, double most)
{
    double error = sqrt(squares / SAMPLES);

    if (!(error < most))
        bench_fail("the acceleration of bodies is wrong: by %g of it, at most %g is allowed", error, most);
}

/* With the tree of the last step. */
static void check(const struct node *root)
{
    double errors = 0, rounding = 0;

    for (uint32_t i = 0; i < BODIES; i += BODIES / SAMPLES) {
        struct vector wanted = sum_all(i), opened = {{0}};

        sum_tree(&bodies[i], root, 0, &opened);
        rounding += error_of(&opened, &wanted);
        errors += error_of(&bodies[i].acceleration, &wanted);
    }
    check_error(rounding, ROUNDING_MOST);
    check_error(errors, ERROR_MOST);
}

int main(int argc, char **argv)
{
    uint32_t steps = STEPS * bench_scale(argc, argv);
    struct bench_span span = {0};

    bench_open();
    make_bodies();
    bench_begin(&span);
    struct node *root = build();

    accelerate(root);
    for (uint32_t i = 1; i < steps; i++) {
        move_bodies();
        tear_down(root);
        root = build();
        accelerate(root);
    }
    bench_end(&span);
    check(root);
    tear_down(root);
    bench_print("total", "bodies under gravity, a tree built for each step", 1, &span, 0);
    return bench_close();
}
