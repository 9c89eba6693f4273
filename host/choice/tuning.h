/* The tuning database's text: which choice was measured to be the best, for which devices and
 * shapes. One entry a line:
 *
 *     device "gfx1100" platform="AMD *" type=f16 columns=4096 rows=* -> row_per_group group=128
 *
 * LEVEL PATTERN [platform=PATTERN] [type=TYPE] [op=OP] [columns=RANGE] [rows=RANGE] -> CHOICE
 *
 * LEVEL tells what PATTERN is matched with, and how much the entry weighs against others that match
 * too: `device` and `architecture` (the device's name, whole or of a family), `vendor`, `class`
 * (gpu, cpu or accelerator). A pattern matches the whole text in any case; * stands for any
 * characters, ? for one; quotes keep blanks together. A type is that of both x and y, where there
 * is a y. An OP is one of what an_tuning_op tells apart, or *; left out it is layer-norm and
 * rms-norm, which move and hold the same. A RANGE is N, N-M, N-* or *; what else is left out is *.
 * CHOICE is a schedule with numbers, as choice.h has it. From # on a line is comment. */
#ifndef AN_TUNING_H
#define AN_TUNING_H

#include "choice.h"

/* From the least to the most specific. */
enum an_tuning_level {
    AN_TUNING_CLASS,
    AN_TUNING_VENDOR,
    AN_TUNING_ARCHITECTURE,
    AN_TUNING_DEVICE,
    AN_TUNING_LEVELS
};

/* Both ends included; * is 0 .. UINT64_MAX, so that only it holds 0, the unknown number of rows. */
struct an_tuning_range {
    uint64_t from;
    uint64_t to;
};

/* What choices are told apart by: the tensors of rows, what else each row reads, the statistic. */
enum an_tuning_op {
    AN_TUNING_LAYER_NORM = 1u << 0,
    AN_TUNING_RMS_NORM = 1u << 1,
    AN_TUNING_RESIDUAL_LAYER_NORM = 1u << 2, /* with residual, pre-bias or sum */
    AN_TUNING_RESIDUAL_RMS_NORM = 1u << 3,
    AN_TUNING_ADAPTIVE = 1u << 4,   /* with gate, scale or shift; whatever else there is */
    AN_TUNING_GROUP_NORM = 1u << 5, /* columns share parameters; likewise */
    AN_TUNING_QUANTIZED = 1u << 6,  /* y is quantized; likewise */
    AN_TUNING_BATCH_NORM = 1u << 7, /* columns lie apart, or in runs; likewise */
    AN_TUNING_BACKWARD = 1u << 8,   /* gradients; likewise */
    AN_TUNING_ANY_OP = (1u << 9) - 1
};

struct an_tuning {
    enum an_tuning_level level;
    char pattern[128];
    char platform[128];
    bool any_type;
    anynorm_dtype type;
    uint32_t ops; /* enum an_tuning_op */
    struct an_tuning_range columns;
    struct an_tuning_range rows;
    struct an_choice choice;
    size_t line; /* counted from 1 */
};

struct an_tunings {
    struct an_tuning *entries;
    size_t count;
};

/* Of a resolved spec. */
enum an_tuning_op an_tuning_op(const anynorm_spec *spec);

/* One line without its end. OK: *tuning (but not its `line`), or *blank where there is no entry.
 * INVALID_ARGUMENT tells what is wrong and what would be right. */
anynorm_status an_tuning_parse(const char *line, size_t length, struct an_tuning *tuning,
                               bool *blank);

/* Called for a line that cannot be used; anynorm_message() tells why. */
typedef void an_tuning_complaint(void *user, size_t line);

/* Every entry of a text; lines that are wrong are complained about and left out. The caller frees
 * `entries`. OUT_OF_MEMORY. */
anynorm_status an_tuning_parse_all(const char *text, size_t length, an_tuning_complaint *complain,
                                   void *user, struct an_tunings *tunings);

/* The entry for the device, resolved spec and number of rows (0: unknown), or NULL. Of several, in
 * this order: the most specific level, the fewest ops, the narrowest range of rows, that of
 * columns, the last. */
const struct an_tuning *an_tuning_find(const struct an_tunings *tunings,
                                       const anynorm_device_info *info, const anynorm_spec *spec,
                                       uint64_t rows);

/* ---- The two databases of a process: the user's own file, asked first, and the built-in one ----
 */

/* A larger file of the user is not read. */
#define AN_TUNING_MOST_BYTES (1 << 20)

/* The text of host/choice/tunings, embedded by the build. */
extern const char an_tunings_text[];
extern const size_t an_tunings_length;

/* What the databases say (of the user's only with `users`): true with *wish, and in `source` which
 * line of which. The user's file is read again whenever it changed; whatever is wrong with it is a
 * warning in the log, once, and costs no more than the lines that are wrong. Any thread. */
bool an_tuning_ask(const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows,
                   bool users, struct an_choice *wish, char *source, size_t capacity);

#endif
