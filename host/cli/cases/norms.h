/* The norms that are measured, by name, and the cases that are verified: each a spec but for its
 * shape and type; and lists of shapes and types for them. */
#ifndef ANYNORM_CLI_NORMS_H
#define ANYNORM_CLI_NORMS_H

#include <anynorm/anynorm.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Lists on a command line ---- */

enum { SHAPES_MOST = 256, DTYPES = 4 };

/* A tensor of the widest type, of x and y together, has fewer than 2^63 bytes. */
#define SHAPE_ELEMENTS_MOST (UINT64_C(1) << 58)

struct shape {
    uint64_t rows;
    uint64_t columns;
};

struct shape_list {
    struct shape shapes[SHAPES_MOST]; /* as given, none twice */
    size_t count;
};

struct dtype_list {
    anynorm_dtype types[DTYPES]; /* none twice */
    size_t count;
};

/* "512x4096,8x768": rows x columns. CLI_USAGE names the part that is wrong. */
bool shapes_parse(const char *subject, const char *text, struct shape_list *list);

/* "f32,bf16". */
bool dtypes_parse(const char *subject, const char *text, struct dtype_list *list);

/* ---- Norms ---- */

struct op {
    const char *name;
    const char *spec; /* the text of a spec; ROWSxCOLUMNS and the type come after the first word */
    const char *shapes; /* those that it is for; NULL: any */
    const char *tuning; /* the word of a tuning database for it; NULL: none is needed */
    const char *help;
    uint64_t run; /* rows are channels, whose elements lie in runs of so many side by side; 0: they
                     are dense */
};

enum { OPS_MOST = 16 };

struct op_list {
    const struct op *ops[OPS_MOST]; /* none twice */
    size_t count;
};

/* "rms-norm,adaptive". CLI_USAGE names the part that is wrong, and all names there are. */
bool ops_parse(const char *subject, const char *text, struct op_list *list);

/* The spec of an op in a shape and type; false, with the library's message, where it cannot have
 * that shape. */
bool spec_of_op(const struct op *op, anynorm_dtype type, const struct shape *shape,
                anynorm_spec *spec);

/* The names and what they are, a line for each, for --help; static. */
const char *ops_help(void);

/* How x of a case is made. */
enum verify_values {
    VERIFY_ACTIVATIONS, /* normal, with outlier columns of 30 times the spread */
    VERIFY_MEAN_1E4,    /* spread 1 beside a large mean */
    VERIFY_MEAN_1E7,
    VERIFY_CONSTANT,
    VERIFY_OUTLIER_FIRST, /* the first element 1e4 times the others: a bad guess of the mean */
    VERIFY_ALTERNATING,   /* +c, -c: equal squares, whose rounding errors all fall the same way */
    VERIFY_NOT_NUMBERS,   /* NaN in one row, infinity in another */
    VERIFY_VALUES         /* how many there are */
};

/* A few words for people; static. */
const char *verify_values_name(enum verify_values values);

/* Rows are packed: the layouts with gaps are the test suite's. */
struct verify_case {
    anynorm_spec spec;
    uint64_t rows;
    enum verify_values values;
};

/* The cases of plain LayerNorm in one type; those of the family, in all types but f64; those of
 * gradients in one type. False past the last. A case may have no meaning. */
bool verify_plain_case(bool quick, anynorm_dtype type, size_t index, struct verify_case *c);
bool verify_family_case(bool quick, size_t index, struct verify_case *c);
bool verify_backward_case(bool quick, anynorm_dtype type, size_t index, struct verify_case *c);

/* False where the values are none of the type's: in half, numbers of 1e7 are infinities. */
bool verify_case_has_meaning(const struct verify_case *c);

#endif
