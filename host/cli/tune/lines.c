#include "lines.h"

#include "platform/files.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The library reads no larger one. */
enum { MOST_BYTES = 1 << 20 };

static bool no_memory(struct cli_error *error)
{
    return cli_fail(error, CLI_FAILED, "tune", "out of memory");
}

bool tune_lines_open(struct tune_lines *lines, struct cli_error *error)
{
    lines->added_stream = open_memstream(&lines->added, &lines->added_length);
    lines->measured_stream = open_memstream(&lines->measured, &lines->measured_length);
    return (lines->added_stream && lines->measured_stream) || no_memory(error);
}

bool tune_lines_close(struct tune_lines *lines, struct cli_error *error)
{
    bool added = fclose(lines->added_stream) == 0;
    bool measured = fclose(lines->measured_stream) == 0;

    lines->added_stream = lines->measured_stream = NULL;
    return (added && measured) || no_memory(error);
}

void tune_lines_free(struct tune_lines *lines)
{
    if (lines->added_stream)
        fclose(lines->added_stream);
    if (lines->measured_stream)
        fclose(lines->measured_stream);
    free(lines->added);
    free(lines->measured);
    *lines = (struct tune_lines){0};
}

enum { BUCKET_SIZE = 48 };

/* Which rows a line is for that was measured at `rows` of them: "9-64"; "*" for 0. Buckets end at
 * the powers of 8, and one has all that is more. */
static void print_bucket(uint64_t rows, char text[BUCKET_SIZE])
{
    const uint64_t last = 32768;
    uint64_t end = 1;

    while (end < rows && end < last)
        end *= 8;
    if (rows == 0)
        snprintf(text, BUCKET_SIZE, "*");
    else if (rows > last)
        snprintf(text, BUCKET_SIZE, "%" PRIu64 "-*", last + 1);
    else if (end == 1)
        snprintf(text, BUCKET_SIZE, "1");
    else
        snprintf(text, BUCKET_SIZE, "%" PRIu64 "-%" PRIu64, end / 8 + 1, end);
}

/* In quotes; what a pattern cannot say literally, it says as any one character. */
static void print_pattern(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (; *text; text++)
        fputc(*text == '"' || (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, stream);
    fputc('"', stream);
}

static void print_head(FILE *stream, const anynorm_device_info *info, const char *op,
                       anynorm_dtype type, uint64_t columns, uint64_t rows)
{
    char bucket[BUCKET_SIZE];

    print_bucket(rows, bucket);
    fputs("device ", stream);
    print_pattern(stream, *info->name ? info->name : "*");
    if (*info->platform) {
        fputs(" platform=", stream);
        print_pattern(stream, info->platform);
    }
    fprintf(stream, " type=%s%s%s columns=%" PRIu64 " rows=%s", anynorm_dtype_name(type),
            op ? " op=" : "", op ? op : "", columns, bucket);
}

void tune_lines_measured(struct tune_lines *lines, const anynorm_device_info *info, const char *op,
                         anynorm_dtype type, uint64_t columns, uint64_t rows)
{
    print_head(lines->measured_stream, info, op, type, columns, rows);
    fputc('\n', lines->measured_stream);
}

void tune_lines_add(struct tune_lines *lines, const anynorm_device_info *info, const char *op,
                    anynorm_dtype type, uint64_t columns, uint64_t rows, const char *choice,
                    const char *comment)
{
    print_head(lines->added_stream, info, op, type, columns, rows);
    fprintf(lines->added_stream, " -> %s # %s\n", choice, comment);
    lines->count++;
}

/* ---- The file ---- */

/* The text of an open file with a zero behind it. */
static bool read_text(const char *path, int file, char *text, size_t *length,
                      struct cli_error *error)
{
    struct an_status status;
    int64_t got = an_file_status(file, &status) ? an_file_read(file, text, MOST_BYTES + 1) : -1;

    if (got < 0)
        return cli_fail(error, CLI_FAILED, path, "cannot be read: %s", strerror(errno));
    if (got > MOST_BYTES || memchr(text, 0, (size_t)got))
        return cli_fail(error, CLI_USAGE, path,
                        "is no tuning database (a text of up to 1 MiB); name another file");
    if ((uint64_t)got < status.size)
        return cli_fail(error, CLI_FAILED, path, "was cut while it was read; try again");
    text[got] = '\0';
    *length = (size_t)got;
    return true;
}

/* The whole file with a zero behind it; "" where there is none. */
static bool read_old(const char *path, char **text, size_t *length, struct cli_error *error)
{
    bool done = false;
    int file = an_file_open(path, AN_OPEN_READ, 0);

    if (file < 0 && errno != ENOENT)
        return cli_fail(error, cli_exit_of(errno), path, "cannot be read: %s; name another file",
                        strerror(errno));
    *length = 0;
    *text = calloc(1, MOST_BYTES + 2); /* and room for the new line that the last one may lack */
    if (!*text)
        no_memory(error);
    else
        done = file < 0 || read_text(path, file, *text, length, error);
    if (!done) {
        free(*text);
        *text = NULL;
    }
    if (file >= 0)
        an_file_close(file);
    return done;
}

bool tune_lines_check(const char *path, struct cli_error *error)
{
    char *text = NULL;
    size_t length;
    bool fine = read_old(path, &text, &length, error);

    free(text);
    return fine;
}

/* Whether what the line has before its -> is one of the heads. */
static bool is_measured(const struct tune_lines *lines, const char *line, size_t length)
{
    const char *arrow = line;
    const char *head = lines->measured;

    while (arrow + 1 < line + length && (arrow[0] != '-' || arrow[1] != '>'))
        arrow++;
    if (arrow + 1 >= line + length)
        return false;
    while (arrow > line && arrow[-1] == ' ')
        arrow--;
    while (*head) {
        size_t size = strcspn(head, "\n");

        if (size == (size_t)(arrow - line) && memcmp(head, line, size) == 0)
            return true;
        head += size + 1;
    }
    return false;
}

/* Leaves out of `text` the lines that were measured anew, and gives the last one its end. */
static size_t keep_others(const struct tune_lines *lines, char *text, size_t length)
{
    size_t kept = 0;

    for (size_t at = 0; at < length;) {
        size_t size = strcspn(text + at, "\n");

        size += at + size < length;
        if (!is_measured(lines, text + at, size)) {
            memmove(text + kept, text + at, size);
            kept += size;
        }
        at += size;
    }
    if (kept > 0 && text[kept - 1] != '\n')
        text[kept++] = '\n';
    return kept;
}

bool tune_lines_write(const struct tune_lines *lines, struct output *output,
                      struct cli_error *error)
{
    char *text = NULL;
    size_t length = 0;
    bool written = false;

    if (!read_old(output->path, &text, &length, error))
        return false;
    length = keep_others(lines, text, length);
    if (length + lines->added_length > MOST_BYTES) {
        cli_fail(error, CLI_FAILED, output->path,
                 "would grow beyond the 1 MiB that is read; take lines out, or name another file");
    } else {
        written = output_write(output, text, length, error) &&
                  output_write(output, lines->added, lines->added_length, error) &&
                  output_close(output, error) && output_commit(output, false, error);
    }
    free(text);
    return written;
}
