/* Where one tensor lies in a safetensors file. */
#include "tensor_layout.h"

#include "common/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_SIZE = 8,
    HEADER_MOST = 100000000,
    NAMES_TOLD = 5,
    NAME_SHOWN = 80,
};

/* The first of them are those that the library has. */
static const struct type {
    const char *name;
    unsigned bits;
} types[] = {
    {"F32", 32},    {"F16", 16},    {"BF16", 16},   {"F64", 64},        {"BOOL", 8},
    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
    {"I16", 16},    {"U16", 16},    {"I32", 32},    {"U32", 32},        {"C64", 64},
    {"I64", 64},    {"U64", 64},
};

static const anynorm_dtype dtypes[] = {ANYNORM_F32, ANYNORM_F16, ANYNORM_BF16, ANYNORM_F64};

/* What the header lists: a tensor, or a key of the metadata. */
struct entry {
    const char *name; /* `length` bytes of UTF-8, no zero behind it */
    size_t length;
    uint64_t begin; /* of its bytes, counted from the end of the header */
    uint64_t end;
};

struct entries {
    struct entry *at;
    size_t count;
    size_t capacity;
};

/* One of them, and what its description says. */
struct tensor {
    struct entry entry;
    const struct type *type;
    struct element_count elements;
    uint32_t rank;
    uint64_t shape[TENSOR_MAX_RANK]; /* the first of them, should there be more */
};

struct parser {
    const char *subject;
    const char *text; /* the JSON */
    struct json_reader json;
    char *names; /* room for the next decoded string: all of them together fit the text's length */
    struct entries tensors;
    struct entries metadata; /* its keys */
    bool metadata_seen;
    const char *wanted; /* or NULL */
    bool found;
    struct tensor tensor; /* the wanted one */
};

static bool malformed(const struct parser *parser, const char *what)
{
    return cli_fail(CLI_USAGE, parser->subject,
                    "its safetensors header is malformed at byte %td (%s); write the file again",
                    parser->json.at - parser->text, what);
}

/* ---- All tensors together ---- */

/* How a message names an entry: its name, shortened. For "%.*s". */
static int shown_length(const struct entry *entry)
{
    return entry->length < NAME_SHOWN ? (int)entry->length : NAME_SHOWN;
}

static bool add(const struct parser *parser, struct entries *entries, struct entry entry)
{
    if (entries->count == entries->capacity) {
        size_t capacity = entries->capacity ? entries->capacity * 2 : 64;
        void *grown = realloc(entries->at, capacity * sizeof *entries->at);

        if (!grown)
            return cli_fail(CLI_FAILED, parser->subject, "out of memory for its header");
        entries->at = grown;
        entries->capacity = capacity;
    }
    entries->at[entries->count++] = entry;
    return true;
}

static int by_name(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int order = memcmp(a->name, b->name, a->length < b->length ? a->length : b->length);

    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Empty tensors come before the one that begins where they lie. */
static int by_place(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

static void sort(struct entries *entries, int (*order)(const void *, const void *))
{
    if (entries->count > 1)
        qsort(entries->at, entries->count, sizeof *entries->at, order);
}

/* No name stands there twice. Sorts by name. */
static bool check_names(const struct parser *parser, struct entries *entries)
{
    sort(entries, by_name);
    for (size_t i = 1; i < entries->count; i++) {
        const struct entry *entry = &entries->at[i];

        if (by_name(entry - 1, entry) == 0)
            return cli_fail(CLI_USAGE, parser->subject,
                            "its safetensors header has the key '%.*s' twice; write the file again",
                            shown_length(entry), entry->name);
    }
    return true;
}

/* The tensors lie in bytes 0 to `size` without overlap or hole and end where those end. Sorts by
 * place. */
static bool check_places(const struct parser *parser, struct entries *entries, uint64_t size)
{
    uint64_t end = 0;

    sort(entries, by_place);
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->at[i];
        int length = shown_length(entry);

        if (entry->end > size)
            return cli_fail(CLI_USAGE, parser->subject,
                            "its tensor '%.*s' ends at byte %" PRIu64 " of the data and there are "
                            "%" PRIu64 "; the file is cut, copy it again",
                            length, entry->name, entry->end, size);
        if (entry->begin < end)
            return cli_fail(CLI_USAGE, parser->subject,
                            "its tensors '%.*s' and '%.*s' overlap; write the file again",
                            shown_length(entry - 1), entry[-1].name, length, entry->name);
        if (entry->begin > end)
            return cli_fail(CLI_USAGE, parser->subject,
                            "there is a hole of %" PRIu64 " bytes before its tensor '%.*s'; write "
                            "the file again",
                            entry->begin - end, length, entry->name);
        end = entry->end;
    }
    if (end < size)
        return cli_fail(CLI_USAGE, parser->subject,
                        "%" PRIu64 " bytes at its end belong to no tensor; something was added, "
                        "write the file again",
                        size - end);
    return true;
}

/* ---- One of them ---- */

/* A string that is compared at once and not kept. */
static bool read_word(struct parser *parser, const char **word, size_t *length)
{
    *word = parser->names;
    if (!json_string(&parser->json, parser->names, length))
        return malformed(parser, "a string is missing or malformed");
    return true;
}

static bool is_word(const char *word, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(word, wanted, length) == 0;
}

static bool read_key(struct parser *parser, const char **key, size_t *length)
{
    if (!read_word(parser, key, length))
        return false;
    if (!json_take(&parser->json, ':'))
        return malformed(parser, "a colon is missing");
    return true;
}

/* After one element of an object or an array: whether there is another, or `close`. */
static bool read_more(struct parser *parser, char close, bool *more)
{
    *more = json_take(&parser->json, ',');
    if (!*more && !json_take(&parser->json, close))
        return malformed(parser, "a comma or a closing bracket is missing");
    return true;
}

static bool read_type(struct parser *parser, struct tensor *tensor)
{
    const char *word;
    size_t length;

    if (!read_word(parser, &word, &length))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (is_word(word, length, types[i].name)) {
            tensor->type = &types[i];
            return true;
        }
    }
    return cli_fail(CLI_USAGE, parser->subject,
                    "its dtype '%.*s' is none of the safetensors format; write it with F32",
                    (int)(length < 20 ? length : 20), word);
}

static bool read_shape(struct parser *parser, struct tensor *tensor)
{
    bool more;

    tensor->elements = (struct element_count){.product = 1};
    tensor->rank = 0;
    if (!json_take(&parser->json, '['))
        return malformed(parser, "the shape is no array");
    more = !json_take(&parser->json, ']');
    while (more) {
        uint64_t size;

        if (!json_count(&parser->json, &size))
            return malformed(parser, "a size in the shape is no integer of 0 to 2^64 - 1");
        if (!element_count_axis(&tensor->elements, size))
            return malformed(parser, "the shape overflows");
        if (tensor->rank < TENSOR_MAX_RANK)
            tensor->shape[tensor->rank] = size;
        tensor->rank++;
        if (!read_more(parser, ']', &more))
            return false;
    }
    return true;
}

static bool read_offsets(struct parser *parser, struct tensor *tensor)
{
    struct json_reader *json = &parser->json;

    if (!json_take(json, '[') || !json_count(json, &tensor->entry.begin) || !json_take(json, ',') ||
        !json_count(json, &tensor->entry.end) || !json_take(json, ']'))
        return malformed(parser, "data_offsets are not two integers of 0 to 2^64 - 1");
    if (tensor->entry.begin > tensor->entry.end)
        return malformed(parser, "data_offsets go backwards");
    return true;
}

static bool read_description(struct parser *parser, struct tensor *tensor)
{
    static bool (*const read[])(struct parser *, struct tensor *) = {read_type, read_shape,
                                                                     read_offsets};
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    unsigned seen = 0;
    bool more = true;

    if (!json_take(&parser->json, '{'))
        return malformed(parser, "a tensor is no object");
    while (more) {
        const char *key;
        size_t length;
        unsigned which = 0;

        if (!read_key(parser, &key, &length))
            return false;
        while (which < 3 && !is_word(key, length, keys[which]))
            which++;
        if (which == 3)
            return malformed(parser, "a key other than dtype, shape and data_offsets");
        if (seen & 1u << which)
            return malformed(parser, "a key stands there twice");
        seen |= 1u << which;
        if (!read[which](parser, tensor) || !read_more(parser, '}', &more))
            return false;
    }
    if (seen != 7)
        return malformed(parser, "dtype, shape or data_offsets is missing");
    return true;
}

/* The bytes that the shape needs are those of the offsets. */
static bool check_description(const struct parser *parser, const struct tensor *tensor)
{
    const struct entry *entry = &tensor->entry;
    uint64_t elements = tensor->elements.product;
    uint64_t bits = tensor->type->bits;
    uint64_t bytes = entry->end - entry->begin;

    if (elements > (uint64_t)INT64_MAX / bits)
        return malformed(parser, "the shape overflows");
    bits = tensor->elements.empty ? 0 : bits * elements;
    if (bits % 8 != 0 || bits / 8 != bytes)
        return cli_fail(CLI_USAGE, parser->subject,
                        "its tensor '%.*s' needs %" PRIu64 " bytes by dtype and shape and has "
                        "%" PRIu64 " by data_offsets; write the file again",
                        shown_length(entry), entry->name, bits / 8 + (bits % 8 > 0), bytes);
    return true;
}

static bool read_metadata(struct parser *parser)
{
    bool more;

    if (parser->metadata_seen)
        return malformed(parser, "__metadata__ stands there twice");
    parser->metadata_seen = true;
    if (!json_take(&parser->json, '{'))
        return malformed(parser, "__metadata__ is no object");
    more = !json_take(&parser->json, '}');
    while (more) {
        struct entry entry = {0};
        const char *value;
        size_t length;

        if (!read_key(parser, &entry.name, &entry.length) || !add(parser, &parser->metadata, entry))
            return false;
        parser->names += entry.length;
        if (!read_word(parser, &value, &length) || !read_more(parser, '}', &more))
            return false;
    }
    return true;
}

static bool read_tensor(struct parser *parser, struct entry entry)
{
    struct tensor tensor = {.entry = entry};

    parser->names += entry.length;
    if (!read_description(parser, &tensor) || !check_description(parser, &tensor))
        return false;
    if (parser->wanted && is_word(entry.name, entry.length, parser->wanted)) {
        parser->found = true;
        parser->tensor = tensor;
    }
    return add(parser, &parser->tensors, tensor.entry);
}

static bool read_header(struct parser *parser)
{
    bool more;

    if (parser->json.at == parser->json.end || *parser->json.at != '{')
        return malformed(parser, "it does not begin with {");
    parser->json.at++;
    more = !json_take(&parser->json, '}');
    while (more) {
        struct entry entry = {0};

        if (!read_key(parser, &entry.name, &entry.length) ||
            !(is_word(entry.name, entry.length, "__metadata__") ? read_metadata(parser)
                                                                : read_tensor(parser, entry)) ||
            !read_more(parser, '}', &more))
            return false;
    }
    while (parser->json.at < parser->json.end && *parser->json.at == ' ')
        parser->json.at++;
    if (parser->json.at != parser->json.end)
        return malformed(parser, "something other than spaces follows the object");
    return true;
}

static bool no_such_name(const struct parser *parser)
{
    const struct entries *tensors = &parser->tensors;
    char names[NAMES_TOLD * 100] = "none";
    size_t used = 0;

    for (size_t i = 0; i < tensors->count && i < NAMES_TOLD; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%.*s", i ? ", " : "",
                                 shown_length(&tensors->at[i]), tensors->at[i].name);
    if (!parser->wanted)
        return cli_fail(CLI_USAGE, parser->subject,
                        "say which tensor of it, as FILE.safetensors:NAME; there are %zu: %s%s",
                        tensors->count, names, tensors->count > NAMES_TOLD ? ", ..." : "");
    return cli_fail(CLI_USAGE, parser->subject, "has no tensor '%.100s'; there are %zu: %s%s",
                    parser->wanted, tensors->count, names,
                    tensors->count > NAMES_TOLD ? ", ..." : "");
}

static bool take_tensor(const struct parser *parser, uint64_t header_end,
                        struct tensor_layout *layout)
{
    const struct tensor *tensor = &parser->tensor;
    size_t type = (size_t)(tensor->type - types);

    if (tensor->rank > TENSOR_MAX_RANK)
        return cli_fail(CLI_USAGE, parser->subject,
                        "its tensor '%.100s' has more than %d axes; reshape it to fewer",
                        parser->wanted, TENSOR_MAX_RANK);
    if (type >= sizeof dtypes / sizeof *dtypes)
        return cli_fail(CLI_USAGE, parser->subject,
                        "its tensor '%.100s' is of %s, which is not served; give one of F32, F16, "
                        "BF16 or F64",
                        parser->wanted, tensor->type->name);
    *layout = (struct tensor_layout){
        .type = tensor->type->name,
        .dtype = dtypes[type],
        .item_size = tensor->type->bits / 8,
        .swapped = host_is_big_endian(),
        .rank = tensor->rank,
        .elements = tensor->elements.empty ? 0 : tensor->elements.product,
        .data_offset = header_end + tensor->entry.begin,
    };
    memcpy(layout->shape, tensor->shape, tensor->rank * sizeof *tensor->shape);
    return true;
}

/* The header's length, which the file begins with. */
static bool read_length(const char *subject, const uint8_t *bytes, size_t size, uint64_t *length)
{
    if (size == 0)
        return cli_fail(CLI_USAGE, subject, "is empty; write it again");
    if (size < LENGTH_SIZE)
        return cli_fail(CLI_USAGE, subject,
                        "is cut within the length of its safetensors header; copy it again");
    *length = little_endian(bytes, LENGTH_SIZE);
    if (*length > HEADER_MOST)
        return cli_fail(CLI_USAGE, subject,
                        "its header would have %" PRIu64 " bytes; a safetensors file has %d at "
                        "most, so give one of that format",
                        *length, HEADER_MOST);
    if (*length > size - LENGTH_SIZE)
        return cli_fail(CLI_USAGE, subject,
                        "its safetensors header of %" PRIu64 " bytes goes past the end of the "
                        "file; copy it again",
                        *length);
    return true;
}

bool safetensors_locate(const char *subject, const uint8_t *bytes, size_t size, const char *name,
                        struct tensor_layout *layout)
{
    struct parser parser = {.subject = subject, .wanted = name};
    char *names = NULL;
    bool done = false;
    uint64_t length = 0;

    if (!read_length(subject, bytes, size, &length))
        return false;
    parser.text = (const char *)bytes + LENGTH_SIZE;
    parser.json = (struct json_reader){parser.text, parser.text + length};
    names = malloc((size_t)length + 1); /* less than the file, which is in memory */
    if (!names)
        return cli_fail(CLI_FAILED, subject, "out of memory for its header");
    parser.names = names;
    if (read_header(&parser) && check_names(&parser, &parser.metadata) &&
        check_names(&parser, &parser.tensors) &&
        check_places(&parser, &parser.tensors, size - LENGTH_SIZE - length))
        done = parser.found ? take_tensor(&parser, LENGTH_SIZE + length, layout)
                            : no_such_name(&parser);
    free(names);
    free(parser.tensors.at);
    free(parser.metadata.at);
    return done;
}
