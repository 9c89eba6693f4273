/* What the tests share: devices, data, and the comparison with the oracle. */
#ifndef AN_TESTS_SUPPORT_H
#define AN_TESTS_SUPPORT_H

/* cmocka wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <anynorm/anynorm.h>

#include "cli/cases/tensors.h"
#include "spec/tensors.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of plain LayerNorm; its tensors are the first PLAIN_TENSORS. */
#define ALL_FLAGS (ANYNORM_WEIGHT | ANYNORM_BIAS | ANYNORM_MEAN_OUTPUT | ANYNORM_RSTD_OUTPUT)
#define PLAIN_TENSORS (AN_RSTD + 1)

/* True in the short form of the suite, for a simulator: $ANYNORM_TEST_REDUCED. */
bool reduced(void);

/* The ids of the devices to test, best first: all there are, or only $ANYNORM_TEST_DEVICE. To be
 * called before one is opened: it sees to $ANYNORM_TEST_CACHE. */
size_t device_ids(char ids[][32], size_t capacity);

/* Whether it is the reference backend's device. */
bool is_reference(const anynorm_device_info *info);

/* A GPU that need not be there, of all abilities. */
extern const anynorm_device_info whole_gpu;

/* Opens it or fails the test; the second as poor as with `caps` in $ANYNORM_CAPS, too. */
anynorm_device *open_device(const char *id);
anynorm_device *open_device_with(const char *id, const char *caps);

/* Makes the plan or fails the test; the second is NULL where the schedule, or its compiled kernel,
 * does not serve the spec there. */
anynorm_plan *make_plan(anynorm_device *device, const anynorm_spec *spec, const char *schedule);
anynorm_plan *plan_if_fits(anynorm_device *device, const anynorm_spec *spec, const char *schedule);

struct device_test {
    const char *name;
    CMUnitTestFunction function;
};

/* From here on a crash ends the process, not the test alone: one within a driver may leave a lock
 * of ours taken, on which the next test would wait for good. cmocka has handlers of its own at the
 * beginning of each test. */
void let_crashes_kill(void);

/* Runs every test on every device, and returns what main does. `setup` finds the device's id, a
 * string, in *state, and leaves there what the test and `teardown` want. */
int run_on_devices(const char *group, const struct device_test *tests, size_t count,
                   CMFixtureFunction setup, CMFixtureFunction teardown);

/* Fails the test, with the library's message, unless `status` is `expected`. */
#define assert_status(status, expected) check_status((status), (expected), __FILE__, __LINE__)
#define assert_ok(status) check_status((status), ANYNORM_OK, __FILE__, __LINE__)
void check_status(anynorm_status status, anynorm_status expected, const char *file, int line);

/* Fails the test unless least <= value <= most. (cmocka's own has another name from version 2 on.)
 */
#define assert_between(value, least, most)                                                         \
    check_between((uintmax_t)(value), (uintmax_t)(least), (uintmax_t)(most), #value, __FILE__,     \
                  __LINE__)
void check_between(uintmax_t value, uintmax_t least, uintmax_t most, const char *what,
                   const char *file, int line);

/* Below the limit, of the generator of cli/cases/tensors.h. */
uint64_t random_below(struct random *random, uint64_t limit);

/* Whether each field is the same, which memcmp cannot say where there is padding. */
bool same_spec(const anynorm_spec *a, const anynorm_spec *b);

/* How the values of x are made. */
enum values {
    VALUES_NORMAL,   /* normal with a few outlier columns of 30 times the spread, as activations */
    VALUES_MEAN_1E3, /* spread 1 about a large mean; in f16 and bf16 what these types make of it */
    VALUES_MEAN_1E5,
    VALUES_MEAN_1E7,
    VALUES_CONSTANT,
    VALUES_ZERO,
    VALUES_LARGE,     /* 256 .. 60000, whose squares overflow in half */
    VALUES_ALTERNATE, /* +c, -c: equal squares, whose rounding errors all fall the same way */
    VALUES_OUTLIER,   /* the first element of each row 1e4 times the others */
    VALUES_TINY,      /* spread 1e-12, below any usual eps */
    VALUES_ODD_ROWS, /* row 3 of each 5 begins with an outlier, row 4 holds a NaN, row 0 is constant
                      */
    VALUES_COUNT
};

/* Where an output lies: in memory of its own, or over an input. */
enum place { APART = 0, OVER_X, OVER_RESIDUAL };

/* One problem: a spec, rows, values, and how the tensors lie in memory. */
struct problem {
    anynorm_spec spec;
    uint64_t rows;
    enum values values;
    uint64_t seed;
    uint64_t offset[AN_TENSOR_COUNT]; /* bytes before each tensor */
    enum place y_place;
    enum place sum_place;
};

/* Rows without gaps, x and y of one type; a seed for each size. */
struct problem dense_problem(uint64_t rows, uint64_t columns, anynorm_dtype type, uint32_t flags);

/* Gives the spec, of which columns and plain types are set, flags and fields of the whole family at
 * random, such as may stand together; no strides. With parameter rows and samples of a few rows. */
void make_family(struct random *random, anynorm_spec *spec);

/* Gate, scale and shift one by one: their flags, and their rows in a spec. */
enum { SAMPLE_TENSORS = 3 };
extern const uint32_t sample_flags[SAMPLE_TENSORS];
anynorm_rows *sample_rows_of(anynorm_spec *spec, int index);

/* Of those that the spec names: the type of all; and strides, between samples with a gap of `gap`
 * elements or one more, or as much between columns, or runs of them, too. */
void set_sample_types(anynorm_spec *spec, anynorm_dtype type);
void set_sample_strides(anynorm_spec *spec, uint64_t gap, bool apart);

/* The type of x, and of all else that the spec names but parameters and a quantized y. */
void set_types(anynorm_spec *spec, anynorm_dtype type);

/* Makes y of such a spec, which may not lie over an input, a quantized one of any kind. */
void make_quantized(struct random *random, anynorm_spec *spec);

/* The tensor in whose memory a tensor lies, which is itself but for outputs over inputs. */
enum an_tensor image_of(const struct problem *problem, enum an_tensor tensor);

/* A problem with its host copies: inputs made, outputs poisoned. Each image is a whole device
 * buffer: offset, tensor, and a guard of 64 bytes after it. Those over inputs have none. */
struct images {
    unsigned char *bytes[AN_TENSOR_COUNT];
    uint64_t size[AN_TENSOR_COUNT];
};
void images_make(const struct problem *problem, struct images *images);
struct images images_copy(const struct images *images);
void images_free(struct images *images);

/* The tensors of anynorm_run, each at its pointer or NULL. */
anynorm_host_tensors host_tensors_at(void *const at[AN_TENSOR_COUNT]);

/* Gives y and sum the buffers of the inputs that they lie over. */
void place_outputs(const struct problem *problem, anynorm_tensors *tensors);

/* Runs the problem with a plan through device buffers, waits, and reads every buffer back into
 * *after. Fails the test on any status but OK. */
void run_on_device(anynorm_device *device, anynorm_plan *plan, const struct problem *problem,
                   const struct images *before, struct images *after);

/* Errors in units of the contract: 1 is the bound. */
struct errors {
    double y;
    double mean;
    double rstd;
};

/* oracle.c: compares with the oracle: values within the contract, NaN where the oracle has no
 * finite row, and every byte outside the outputs' elements unchanged. Fails the test, naming the
 * problem. Gradients are compared with the reference's (gradients.h), and *worst is as it was. */
void check_against_oracle(const struct problem *problem, const struct images *before,
                          const struct images *after, const char *label, struct errors *worst);

/* make + run + check. */
void check_plan(anynorm_device *device, anynorm_plan *plan, const struct problem *problem,
                const char *label, struct errors *worst);

/* plan + check_plan, for one schedule (NULL: the chosen one) and group size (0: chosen).
 * False, with nothing checked, where the compiled kernel's own limits rule a forced schedule out.
 */
bool check_problem(anynorm_device *device, const struct problem *problem, const char *schedule,
                   uint32_t group_size, struct errors *worst);

/* The problem as text, for a message. */
const char *problem_text(const struct problem *problem);

/* A temporary folder; and away with any folder, where it is there, and all that is in it. */
#define FOLDER_BYTES 32
void make_folder(char path[FOLDER_BYTES]);
void remove_folder(const char *path);

/* How many files below the folder have names that end so, -1 with errno where it cannot be read;
 * unless `last` is NULL, the path of one of them. */
int count_files(const char *folder, const char *ending, char *last, size_t room);

#endif
