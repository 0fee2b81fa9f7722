/*
 * The product of two matrices that are kept in square blocks, each a block of memory of its own. As in a library for
 * expressions, nothing is changed in place: every product of blocks is a fresh block, and so is every sum.
 *
 * Elements are small whole numbers, so that nothing is rounded. Checked: (AB)x is A(Bx), exactly, for a vector of
 * random numbers (Freivalds 1977).
 */
#include "tests/bench/bench.h"

#define EDGE 128u /* of a block, elements */
#define BLOCKS 3u /* in a row of a matrix */
#define ROWS (EDGE * BLOCKS)
#define ELEMENT_LIMIT 32u
#define SEED 0x94d049bb133111eb

struct block {
    double at[EDGE][EDGE];
};

struct matrix {
    struct block *blocks[BLOCKS][BLOCKS];
};

static struct block *multiply_blocks(const struct block *a, const struct block *b)
{
    struct block *product = bench_malloc(sizeof(*product));

    memset(product, 0, sizeof(*product));
    for (unsigned i = 0; i < EDGE; i++) {
        for (unsigned k = 0; k < EDGE; k++) {
            double factor = a->at[i][k];

            for (unsigned j = 0; j < EDGE; j++)
                product->at[i][j] += factor * b->at[k][j];
        }
    }
    return product;
}

static struct block *add_blocks(const struct block *a, const struct block *b)
{
    struct block *sum = bench_malloc(sizeof(*sum));

    for (unsigned i = 0; i < EDGE; i++) {
        for (unsigned j = 0; j < EDGE; j++)
            sum->at[i][j] = a->at[i][j] + b->at[i][j];
    }
    return sum;
}

static struct block *block_of_product(const struct matrix *a, const struct matrix *b, unsigned row, unsigned column)
{
    struct block *result = multiply_blocks(a->blocks[row][0], b->blocks[0][column]);

    for (unsigned k = 1; k < BLOCKS; k++) {
        struct block *product = multiply_blocks(a->blocks[row][k], b->blocks[k][column]);
        struct block *sum = add_blocks(result, product);

        free(product);
        free(result);
        result = sum;
    }
    return result;
}

static void multiply(const struct matrix *a, const struct matrix *b, struct matrix *product)
{
    for (unsigned row = 0; row < BLOCKS; row++) {
        for (unsigned column = 0; column < BLOCKS; column++)
            product->blocks[row][column] = block_of_product(a, b, row, column);
    }
}

static void fill(struct matrix *matrix, uint64_t *random)
{
    for (unsigned i = 0; i < BLOCKS * BLOCKS; i++) {
        struct block *block = bench_malloc(sizeof(*block));

        for (unsigned j = 0; j < EDGE * EDGE; j++)
            block->at[j / EDGE][j % EDGE] = bench_random_below(random, ELEMENT_LIMIT);
        matrix->blocks[i / BLOCKS][i % BLOCKS] = block;
    }
}

static void tear_down(struct matrix *matrix)
{
    for (unsigned i = 0; i < BLOCKS * BLOCKS; i++)
        free(matrix->blocks[i / BLOCKS][i % BLOCKS]);
}

/* to = matrix * from */
static void apply(const struct matrix *matrix, const double *from, double *to)
{
    for (unsigned i = 0; i < ROWS; i++) {
        to[i] = 0;
        for (unsigned j = 0; j < ROWS; j++)
            to[i] += matrix->blocks[i / EDGE][j / EDGE]->at[i % EDGE][j % EDGE] * from[j];
    }
}

static void check(const struct matrix *a, const struct matrix *b, const struct matrix *product, uint64_t *random)
{
    static double x[ROWS], bx[ROWS], abx[ROWS], found[ROWS];

    for (unsigned i = 0; i < ROWS; i++)
        x[i] = bench_random_below(random, ELEMENT_LIMIT);
    apply(b, x, bx);
    apply(a, bx, abx);
    apply(product, x, found);
    for (unsigned i = 0; i < ROWS; i++)
        bench_check_number("the product of two matrices", (uint64_t)found[i], (uint64_t)abx[i]);
}

int main(int argc, char **argv)
{
    unsigned scale = bench_scale(argc, argv);
    struct bench_span span = {0};
    uint64_t random = SEED;

    bench_open();
    for (unsigned run = 0; run < scale; run++) {
        struct matrix a, b, product;

        bench_begin(&span);
        fill(&a, &random);
        fill(&b, &random);
        multiply(&a, &b, &product);
        bench_end(&span);
        check(&a, &b, &product, &random);
        bench_begin(&span);
        tear_down(&a);
        tear_down(&b);
        tear_down(&product);
        bench_end(&span);
    }
    bench_print("total", "product of matrices in blocks, each a fresh one", 1, &span, 0);
    return bench_close();
}
