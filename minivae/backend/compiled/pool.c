/* Threads that share the parts of one task at a time, without Python's lock: pool.py says how they are used. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define PATIENCE 50000 /* nanoseconds that a thread looks out for the next task before it sleeps */
#define LOOKS 64       /* between two readings of the clock */

typedef void part_of(const void *task, long part);

static _Atomic uint64_t left; /* in its upper half the number of the task, in its lower half the parts to be taken */
static atomic_long done;      /* parts */
static atomic_int helpers, asleep;
static part_of *compute;
static const void *task;
static long started; /* threads */
static pthread_mutex_t caller = PTHREAD_MUTEX_INITIALIZER, bed = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;

static void wait_a_little(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Compute parts until none is left.  Who has taken one may read `task`: its caller waits until all are done. */
static void take(void)
{
    uint64_t seen = atomic_load(&left);
    while ((uint32_t)seen)
        if (atomic_compare_exchange_weak(&left, &seen, seen - 1)) {
            compute(task, (long)(uint32_t)seen - 1);
            atomic_fetch_add(&done, 1);
            seen = atomic_load(&left);
        }
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int wanted(long number)
{
    return (uint32_t)atomic_load(&left) && number < atomic_load(&helpers);
}

static void *serve(void *number)
{
    for (;;) {
        for (int64_t end = now() + PATIENCE; !wanted((long)number) && now() < end;)
            for (int k = 0; k < LOOKS && !wanted((long)number); ++k)
                wait_a_little();
        if (!wanted((long)number)) {
            pthread_mutex_lock(&bed);
            atomic_fetch_add(&asleep, 1); /* before it looks again: a caller who misses this has been seen */
            while (!wanted((long)number))
                pthread_cond_wait(&bell, &bed);
            atomic_fetch_sub(&asleep, 1);
            pthread_mutex_unlock(&bed);
        }
        take();
    }
    return NULL;
}

static void start(long threads)
{
    sigset_t all, kept;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept); /* signals are for the threads that Python knows */
    while (started < threads) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve, (void *)started))
            break;
        pthread_detach(thread);
        ++started;
    }
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
}

static void share(part_of *of, const void *all, long parts, long threads)
{
    threads = threads < parts ? threads : parts;
    if (threads < 2 || pthread_mutex_trylock(&caller)) { /* the others work for somebody else */
        for (long part = 0; part < parts; ++part)
            of(all, part);
        return;
    }
    start(threads - 1);
    compute = of;
    task = all;
    atomic_store(&done, 0);
    atomic_store(&helpers, (int)threads - 1);
    atomic_store(&left, ((atomic_load(&left) >> 32) + 1) << 32 | (uint64_t)parts);
    if (atomic_load(&asleep)) {
        pthread_mutex_lock(&bed);
        pthread_cond_broadcast(&bell);
        pthread_mutex_unlock(&bed);
    }
    take();
    for (long looks = 0; atomic_load(&done) < parts; ++looks)
        if (looks < 1000)
            wait_a_little();
        else
            sched_yield(); /* who has the last part may have lost its core to this thread */
    pthread_mutex_unlock(&caller);
}

/* The child of a fork has none of the threads. */
void forget(void)
{
    started = 0;
    atomic_store(&left, 0);
    atomic_store(&asleep, 0);
    pthread_mutex_init(&caller, NULL);
    pthread_mutex_init(&bed, NULL);
    pthread_cond_init(&bell, NULL);
}

/* -- a loop over arrays, cut along one axis ---------------------------------------------------------------------- */

typedef double loop(const ptrdiff_t *lengths, char *const *arrays, const ptrdiff_t *strides, const float *numbers);

struct loop_task {
    loop *kernel;
    const ptrdiff_t *lengths, *strides, *bytes; /* bytes: from one array's element to the next along the axis */
    char *const *arrays;
    const float *numbers;
    long operands, axis, parts;
    double *sums;
};

static void part_of_loop(const void *all, long part)
{
    const struct loop_task *t = all;
    const ptrdiff_t whole = t->lengths[t->axis], low = whole * part / t->parts, high = whole * (part + 1) / t->parts;
    ptrdiff_t lengths[AXES];
    char *arrays[t->operands];
    memcpy(lengths, t->lengths, sizeof lengths);
    lengths[t->axis] = high - low;
    for (long k = 0; k < t->operands; ++k)
        arrays[k] = t->arrays[k] + low * t->bytes[k];
    t->sums[part] = t->kernel(lengths, arrays, t->strides, t->numbers);
}

double run_loop(loop *kernel, const ptrdiff_t *lengths, char *const *arrays, const ptrdiff_t *strides,
                const float *numbers, const ptrdiff_t *bytes, long operands, long axis, long parts, long threads)
{
    double sums[parts], total = 0;
    const struct loop_task all = {kernel, lengths, strides, bytes, arrays, numbers, operands, axis, parts, sums};
    share(part_of_loop, &all, parts, threads);
    for (long part = 0; part < parts; ++part)
        total += sums[part]; /* in one order, whoever computed them */
    return total;
}

/* -- a product of matrices, C = beta C + A B + row, cut along the rows or the columns of C ----------------------- */

typedef void single(int, int, int, int64_t, int64_t, int64_t, float, const void *, int64_t, const void *, int64_t,
                    float, void *, int64_t);
typedef void twice(int, int, int, int64_t, int64_t, int64_t, double, const void *, int64_t, const void *, int64_t,
                   double, void *, int64_t);

struct product_task {
    void *gemm;
    const int64_t *bounds, *steps; /* steps: of A, B and C, elements from one row (column, if transposed) to the next */
    int64_t rows, columns, inner;
    char *a, *b, *c, *row; /* row: NULL, or what is added to each row of C; if it stands, to each column */
    int a_as, b_as, by_rows, size, stands;
    double beta;
};

/* Add the row while C's part is still in the cache. */
#define ADD_ROW(type)                                                                                              \
    for (int64_t i = 0; i < rows; ++i) {                                                                           \
        type *restrict to = (type *)c + i * t->steps[2];                                                           \
        const type *row = (const type *)t->row + (t->by_rows == t->stands ? low : 0);                              \
        if (t->stands)                                                                                             \
            for (int64_t j = 0; j < columns; ++j)                                                                  \
                to[j] += row[i];                                                                                   \
        else                                                                                                       \
            for (int64_t j = 0; j < columns; ++j)                                                                  \
                to[j] += row[j];                                                                                   \
    }

static void part_of_product(const void *all, long part)
{
    const struct product_task *t = all;
    const int64_t low = t->bounds[part], high = t->bounds[part + 1];
    const int64_t rows = t->by_rows ? high - low : t->rows, columns = t->by_rows ? t->columns : high - low;
    const char *a = t->a + (t->by_rows ? low * t->size * (t->a_as == 111 ? t->steps[0] : 1) : 0);
    const char *b = t->b + (t->by_rows ? 0 : low * t->size * (t->b_as == 111 ? 1 : t->steps[1]));
    char *c = t->c + low * t->size * (t->by_rows ? t->steps[2] : 1);
    if (t->size == sizeof(float)) {
        ((single *)t->gemm)(101, t->a_as, t->b_as, rows, columns, t->inner, 1, a, t->steps[0], b, t->steps[1],
                            (float)t->beta, c, t->steps[2]);
        if (t->row)
            ADD_ROW(float)
    } else {
        ((twice *)t->gemm)(101, t->a_as, t->b_as, rows, columns, t->inner, 1, a, t->steps[0], b, t->steps[1],
                           t->beta, c, t->steps[2]);
        if (t->row)
            ADD_ROW(double)
    }
}

void run_product(void *gemm, int size, int a_as, int b_as, int64_t rows, int64_t columns, int64_t inner, char *a,
                 char *b, char *c, char *row, const int64_t *steps, double beta, int by_rows, int stands,
                 const int64_t *bounds, long parts, long threads)
{
    const struct product_task all = {gemm, bounds, steps, rows, columns, inner, a, b, c, row, a_as, b_as, by_rows,
                                     size, stands, beta};
    share(part_of_product, &all, parts, threads);
}

/* What libraries.py tries when it loads this: it computes nothing. */
double kernel(const ptrdiff_t *lengths, float *const *arrays, const ptrdiff_t *strides, const float *numbers)
{
    return 0;
}
