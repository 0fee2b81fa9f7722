/*
 * Binary trees after Boehm's GC benchmark, a malloc and a free for each node: one that lives long, and many that are
 * built, walked and torn down, of depths 4 to 16 with about the same number of nodes for each depth.
 *
 * Checked: the walks count the nodes of a full tree, and the long-lived one has them still at the end.
 */
#include "tests/bench/bench.h"

#define DEPTH_LEAST 4u
#define DEPTH 16u
#define RUNS 16u /* of the deepest trees at scale 16 */

struct node {
    struct node *left, *right;
};

static uint64_t nodes_of(unsigned depth)
{
    return ((uint64_t)2 << depth) - 1;
}

static struct node *build(unsigned depth)
{
    struct node *node = bench_malloc(sizeof(*node));

    node->left = depth ? build(depth - 1) : NULL;
    node->right = depth ? build(depth - 1) : NULL;
    return node;
}

static uint64_t count(const struct node *node)
{
    return node->left ? 1 + count(node->left) + count(node->right) : 1;
}

static void tear_down(struct node *node)
{
    if (node->left) {
        tear_down(node->left);
        tear_down(node->right);
    }
    free(node);
}

static uint64_t build_and_count(unsigned depth)
{
    struct node *tree = build(depth);
    uint64_t nodes = count(tree);

    tear_down(tree);
    return nodes;
}

int main(int argc, char **argv)
{
    unsigned scale = bench_scale(argc, argv);
    struct bench_span span = {0};
    uint64_t nodes = 0, wanted = 0;

    bench_open();
    bench_begin(&span);
    uint64_t stretched = build_and_count(DEPTH + 1);
    struct node *lasting = build(DEPTH);

    for (unsigned depth = DEPTH_LEAST; depth <= DEPTH; depth += 2) {
        uint64_t runs = ((uint64_t)RUNS << (DEPTH - depth)) * scale / 16;

        for (uint64_t i = 0; i < runs; i++)
            nodes += build_and_count(depth);
        wanted += runs * nodes_of(depth);
    }
    uint64_t left = count(lasting);

    tear_down(lasting);
    bench_end(&span);
    bench_check_number("the number of nodes of the first tree", stretched, nodes_of(DEPTH + 1));
    bench_check_number("the number of nodes of all trees", nodes, wanted);
    bench_check_number("the number of nodes of the lasting tree", left, nodes_of(DEPTH));
    bench_print("total", "binary trees, malloc and free a node", 1, &span, 0);
    return bench_close();
}
