/* The npy files of numpy: where the array lies in one, and the head of a new one. */
#include "tensor_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What is left of the head's text. */
struct reader {
    const char *at;
    const char *end;
    const char *subject;
};

static const char right_form[] = "write it with numpy.save";

static bool malformed(const struct reader *reader, const char *what)
{
    return cli_fail(CLI_USAGE, reader->subject, "its npy header is malformed (%s); %s", what,
                    right_form);
}

static void skip_spaces(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at && strchr(" \t\r\n\f", *reader->at))
        reader->at++;
}

/* Takes `c`, and the spaces before it, if it comes next. */
static bool take(struct reader *reader, char c)
{
    skip_spaces(reader);
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    size_t length = strlen(word);

    skip_spaces(reader);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

/* A string of printable ASCII without backslashes, which is all that numpy writes here. */
static bool read_string(struct reader *reader, char *out, size_t capacity)
{
    size_t length = 0;
    char quote;

    skip_spaces(reader);
    if (reader->at == reader->end || (*reader->at != '\'' && *reader->at != '"'))
        return malformed(reader, "a quoted word is missing");
    quote = *reader->at++;
    for (; reader->at < reader->end && *reader->at != quote; reader->at++) {
        char c = *reader->at;

        if (c < 0x20 || c > 0x7e || c == '\\' || length + 1 >= capacity)
            return malformed(reader, "an unusual or overlong word");
        out[length++] = c;
    }
    if (reader->at == reader->end)
        return malformed(reader, "a word without its closing quote");
    reader->at++;
    out[length] = '\0';
    return true;
}

static bool read_type(struct reader *reader, struct tensor_layout *layout)
{
    static const char *const accepted[] = {"f2", "f4", "f8", "u2", "i2", "V2"};
    char text[32];
    const char *name = text;
    char order = '=';

    skip_spaces(reader);
    if (reader->at < reader->end && (*reader->at == '[' || *reader->at == '('))
        return cli_fail(CLI_USAGE, reader->subject,
                        "its elements are a structured type; give an array of f2, f4 or f8, such "
                        "as one field of it");
    if (!read_string(reader, text, sizeof text))
        return false;
    if (*name && strchr("<>=|", *name))
        order = *name++;
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
        if (strcmp(name, accepted[i]) == 0) {
            bool big = host_is_big_endian();

            layout->type = accepted[i];
            layout->item_size = (uint32_t)(name[1] - '0');
            /* |V2 is numpy's word for a type it does not know, such as bfloat16: it is in the
             * order of the machine that wrote it, which we take to be little-endian. */
            layout->swapped = order == '>' ? !big : order == '<' || *name == 'V' ? big : false;
            return true;
        }
    }
    if (*name == 'O')
        return cli_fail(CLI_USAGE, reader->subject,
                        "it holds Python objects (dtype '%s'), which are not read; save numbers, "
                        "such as with x.astype('f4')",
                        text);
    return cli_fail(CLI_USAGE, reader->subject,
                    "its dtype '%s' is not served; give f2, f4 or f8 (x.astype('f4')), or bf16 as "
                    "V2, or as u2 with --dtype bf16",
                    text);
}

static bool read_order(struct reader *reader, struct tensor_layout *layout)
{
    if (take_word(reader, "True")) {
        layout->fortran = true;
        return true;
    }
    if (take_word(reader, "False")) {
        layout->fortran = false;
        return true;
    }
    return malformed(reader, "fortran_order is neither True nor False");
}

static bool read_dimension(struct reader *reader, uint64_t *value)
{
    const char *start;
    uint64_t number = 0;

    if (take(reader, '-'))
        return malformed(reader, "the shape has a negative size");
    start = reader->at;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        uint64_t digit = (uint64_t)(*reader->at - '0');

        if (number > ((uint64_t)INT64_MAX - digit) / 10)
            return malformed(reader, "the shape has a size above 2^63 - 1");
        number = number * 10 + digit;
    }
    if (reader->at == start)
        return malformed(reader, "the shape is no tuple of integers");
    if (*start == '0' && reader->at - start > 1)
        return malformed(reader, "a size in the shape begins with 0");
    if (reader->at < reader->end && *reader->at == 'L') {
        reader->at++; /* Python 2 wrote long integers so */
    }
    *value = number;
    return true;
}

static bool read_shape(struct reader *reader, struct tensor_layout *layout)
{
    bool comma = false;

    if (!take(reader, '('))
        return malformed(reader, "the shape is no tuple");
    layout->rank = 0;
    while (!take(reader, ')')) {
        if (layout->rank && !comma)
            return malformed(reader, "a comma is missing in the shape");
        if (layout->rank == TENSOR_MAX_RANK)
            return cli_fail(CLI_USAGE, reader->subject,
                            "its array has more than %d axes; reshape it to fewer",
                            TENSOR_MAX_RANK);
        if (!read_dimension(reader, &layout->shape[layout->rank]))
            return false;
        layout->rank++;
        comma = take(reader, ',');
    }
    if (layout->rank == 1 && !comma)
        return malformed(reader, "the shape is an integer, no tuple");
    return true;
}

static bool read_entry(struct reader *reader, struct tensor_layout *layout, unsigned *seen)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    char key[32];
    unsigned which = 0;

    if (!read_string(reader, key, sizeof key))
        return false;
    while (which < 3 && strcmp(key, keys[which]) != 0)
        which++;
    if (which == 3)
        return malformed(reader, "a key other than descr, fortran_order and shape");
    if (*seen & 1u << which)
        return malformed(reader, "a key stands there twice");
    *seen |= 1u << which;
    if (!take(reader, ':'))
        return malformed(reader, "a colon is missing");
    switch (which) {
    case 0:
        return read_type(reader, layout);
    case 1:
        return read_order(reader, layout);
    default:
        return read_shape(reader, layout);
    }
}

static bool read_dictionary(struct reader *reader, struct tensor_layout *layout)
{
    unsigned seen = 0;
    bool comma = true;

    if (!take(reader, '{'))
        return malformed(reader, "no dictionary");
    while (!take(reader, '}')) {
        if (!comma)
            return malformed(reader, "a comma is missing");
        if (!read_entry(reader, layout, &seen))
            return false;
        comma = take(reader, ',');
    }
    if (seen != 7)
        return malformed(reader, "descr, fortran_order or shape is missing");
    skip_spaces(reader);
    if (reader->at != reader->end)
        return malformed(reader, "something follows the dictionary");
    return true;
}

/* What a file that is no npy file seems to be, for people who mixed up two files. */
static const char *guess_format(const uint8_t *bytes, size_t size)
{
    if (size >= 4 && memcmp(bytes, "PK\3\4", 4) == 0)
        return "looks like a zip or npz archive; unpack it and give one .npy file of it";
    if (size >= 4 && memcmp(bytes, "GGUF", 4) == 0)
        return "looks like a GGUF file; save the tensor with numpy.save";
    if (size >= 4 && memcmp(bytes, "\x89HDF", 4) == 0)
        return "looks like an HDF5 file; save the data set with numpy.save";
    if (size >= 9 && bytes[8] == '{' && bytes[4] == 0 && bytes[5] == 0 && bytes[6] == 0 &&
        bytes[7] == 0)
        return "looks like a safetensors file; let its name end so and give FILE.safetensors:NAME";
    if (size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5)
        return "looks like a Python pickle; save the array with numpy.save";
    return "has another format; give one written by numpy.save";
}

bool npy_header_parse(const char *subject, const uint8_t *bytes, size_t size,
                      struct tensor_layout *layout)
{
    static const uint8_t magic[6] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    struct tensor_layout parsed = {0};
    struct reader reader = {.subject = subject};
    size_t length_size;
    size_t start;
    uint64_t length;

    if (size == 0)
        return cli_fail(CLI_USAGE, subject, "is empty; %s", right_form);
    if (memcmp(bytes, magic, size < sizeof magic ? size : sizeof magic) != 0)
        return cli_fail(CLI_USAGE, subject, "is no npy file: it %s", guess_format(bytes, size));
    if (size < 8)
        return cli_fail(CLI_USAGE, subject, "is cut within its npy header; copy it again");
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return cli_fail(CLI_USAGE, subject,
                        "is of npy version %u.%u; versions 1.0, 2.0 and 3.0 are read", bytes[6],
                        bytes[7]);
    length_size = bytes[6] == 1 ? 2 : 4;
    start = 8 + length_size;
    if (size < start)
        return cli_fail(CLI_USAGE, subject, "is cut within its npy header; copy it again");
    length = little_endian(bytes + 8, length_size);
    if (length > size - start)
        return cli_fail(CLI_USAGE, subject,
                        "its npy header of %" PRIu64 " bytes goes past the end of the file; copy "
                        "it again",
                        length);
    reader.at = (const char *)bytes + start;
    reader.end = reader.at + length;
    if (!read_dictionary(&reader, &parsed) || !tensor_layout_count(subject, &parsed))
        return false;
    parsed.data_offset = start + length;
    *layout = parsed;
    return true;
}

static bool find_type(const char *subject, bool two_bytes_are_bf16, struct tensor_layout *layout)
{
    const char *type = layout->type;

    if (*type == 'f') {
        layout->dtype = type[1] == '2' ? ANYNORM_F16 : type[1] == '4' ? ANYNORM_F32 : ANYNORM_F64;
        return true;
    }
    layout->dtype = ANYNORM_BF16;
    if (*type == 'V' || two_bytes_are_bf16)
        return true;
    return cli_fail(CLI_USAGE, subject,
                    "its dtype is %s; give f2, f4 or f8, or say that it is bf16: FILE.npy:bf16, "
                    "or --dtype bf16 for all files",
                    type);
}

bool npy_locate(const char *subject, const uint8_t *bytes, size_t size, bool two_bytes_are_bf16,
                struct tensor_layout *layout)
{
    char text[SHAPE_TEXT];
    uint64_t there, needed;

    if (!npy_header_parse(subject, bytes, size, layout) ||
        !find_type(subject, two_bytes_are_bf16, layout))
        return false;
    there = size - layout->data_offset;
    needed = layout->elements * layout->item_size;
    if (there == needed)
        return true;
    return cli_fail(CLI_USAGE, subject,
                    "its shape %s of %s needs %" PRIu64 " bytes of data and there are %" PRIu64
                    "; %s",
                    shape_text(layout->rank, layout->shape, text), layout->type, needed, there,
                    there < needed ? "the file is cut, copy it again"
                                   : "something was added to the file, write it again");
}

size_t npy_head(anynorm_dtype type, uint32_t rank, const uint64_t *shape,
                uint8_t head[NPY_HEAD_MAX])
{
    static const char *const names[] = {
        [ANYNORM_F32] = "f4", [ANYNORM_F16] = "f2", [ANYNORM_BF16] = "u2",
        [ANYNORM_F64] = "f8", [ANYNORM_I8] = "i1",  [ANYNORM_F8E4M3] = "u1"};
    char order = anynorm_dtype_size(type) == 1 ? '|' : "<>"[host_is_big_endian()];
    char text[SHAPE_TEXT];
    size_t used;
    size_t size;

    memcpy(head, "\x93NUMPY\x01\x00", 8);
    used = 10 + (size_t)snprintf((char *)head + 10, NPY_HEAD_MAX - 10,
                                 "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }", order,
                                 names[type], shape_text(rank, shape, text));
    size = (used + 1 + 63) / 64 * 64;
    memset(head + used, ' ', size - used);
    head[size - 1] = '\n';
    head[8] = (uint8_t)((size - 10) & 0xff);
    head[9] = (uint8_t)((size - 10) >> 8);
    return size;
}
