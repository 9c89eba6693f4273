#include "lines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The library reads no larger one. */
enum { MOST_BYTES = 1 << 20 };

static bool no_memory(void)
{
    return cli_fail(CLI_FAILED, "tune", "out of memory");
}

void tune_lines_free(struct tune_lines *lines)
{
    free(lines->added);
    free(lines->measured);
    *lines = (struct tune_lines){.count = 0};
}

/* ---- Making them ---- */

static void append(struct tune_lines *lines, char **text, const char *line)
{
    size_t length = *text ? strlen(*text) : 0, size = strlen(line) + 1;
    char *longer = realloc(*text, length + size);

    if (longer) {
        memcpy(longer + length, line, size);
        *text = longer;
    }
    lines->lost |= !longer;
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

/* What a pattern cannot say literally, it says as any one character. */
static void make_pattern(char *text)
{
    for (; *text; text++) {
        if (*text == '"' || (unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
    }
}

enum { HEAD_SIZE = 512 };

static void print_head(const struct tune_head *head, uint64_t rows, char text[HEAD_SIZE])
{
    anynorm_device_info device = *head->device;
    char bucket[BUCKET_SIZE];

    make_pattern(device.name);
    make_pattern(device.platform);
    print_bucket(rows, bucket);
    snprintf(text, HEAD_SIZE, "device \"%s\"%s%s%s type=%s%s%s columns=%" PRIu64 " rows=%s",
             *device.name ? device.name : "*", *device.platform ? " platform=\"" : "",
             device.platform, *device.platform ? "\"" : "", anynorm_dtype_name(head->type),
             head->op ? " op=" : "", head->op ? head->op : "", head->columns, bucket);
}

void tune_lines_measured(struct tune_lines *lines, const struct tune_head *head, uint64_t rows)
{
    char text[HEAD_SIZE + 1];

    print_head(head, rows, text);
    strcat(text, "\n");
    append(lines, &lines->measured, text);
}

void tune_lines_add(struct tune_lines *lines, const struct tune_head *head, uint64_t rows,
                    const char *choice, const char *comment)
{
    char text[HEAD_SIZE], line[2 * HEAD_SIZE];

    print_head(head, rows, text);
    snprintf(line, sizeof line, "%s -> %.127s # %.350s\n", text, choice, comment);
    append(lines, &lines->added, line);
    lines->count++;
}

/* ---- The file ---- */

static bool make_folder(const char *folder)
{
    return an_folder_make(folder) || errno == EEXIST ||
           cli_fail(CLI_FAILED, folder, "cannot be made: %s; give -o FILE", strerror(errno));
}

/* Makes the folders of the default file where they are missing: two levels, as XDG has it. */
static bool make_folders(const char *path)
{
    char *inner = an_path_folder(path), *outer = inner ? an_path_folder(inner) : NULL;
    bool made = outer ? make_folder(outer) && make_folder(inner)
                      : cli_fail(CLI_FAILED, path, "out of memory");

    free(inner);
    free(outer);
    return made;
}

bool tune_file_find(const char *given, char path[AN_PATH_SIZE])
{
    const char *variable = getenv("ANYNORM_TUNING");
    bool named = variable && *variable;
    size_t length = given ? (size_t)snprintf(path, AN_PATH_SIZE, "%s", given)
                          : anynorm_tuning_path(path, AN_PATH_SIZE);

    if (length >= AN_PATH_SIZE)
        return cli_fail(CLI_USAGE, "-o", "its path is too long; name another file");
    if (length > 0)
        return given || named || make_folders(path);
    return cli_fail(CLI_USAGE, named ? "ANYNORM_TUNING" : "HOME",
                    "%s, so the library reads no file of yours; give -o FILE to write one",
                    named ? "is \"off\"" : "is not set");
}

bool tune_file_is_read(const char *path)
{
    char used[AN_PATH_SIZE];
    struct an_status a, b;

    return anynorm_tuning_path(used, sizeof used) > 0 && an_path_status(used, true, &a) &&
           an_path_status(path, true, &b) && a.device == b.device && a.number == b.number;
}

/* The text of an open file with a zero behind it. */
static bool read_text(const char *path, int file, char *text, size_t *length)
{
    struct an_status status;
    int64_t got = an_file_status(file, &status) ? an_file_read(file, text, MOST_BYTES + 1) : -1;

    if (got < 0)
        return cli_fail(CLI_FAILED, path, "cannot be read: %s", strerror(errno));
    if (got > MOST_BYTES || memchr(text, 0, (size_t)got))
        return cli_fail(CLI_USAGE, path,
                        "is no tuning database (a text of up to 1 MiB); name another file");
    if ((uint64_t)got < status.size)
        return cli_fail(CLI_FAILED, path, "was cut while it was read; try again");
    text[got] = '\0';
    *length = (size_t)got;
    return true;
}

/* The whole file with a zero behind it; "" where there is none. */
static bool read_old(const char *path, char **text, size_t *length)
{
    bool done = false;
    int file = an_file_open(path, AN_OPEN_READ, 0);

    if (file < 0 && errno != ENOENT)
        return cli_fail(cli_exit_of(errno), path, "cannot be read: %s; name another file",
                        strerror(errno));
    *length = 0;
    *text = calloc(1, MOST_BYTES + 2); /* and room for the new line that the last one may lack */
    if (!*text)
        no_memory();
    else
        done = file < 0 || read_text(path, file, *text, length);
    if (!done) {
        free(*text);
        *text = NULL;
    }
    if (file >= 0)
        an_file_close(file);
    return done;
}

bool tune_lines_check(const char *path)
{
    char *text = NULL;
    size_t length;
    bool fine = read_old(path, &text, &length);

    free(text);
    return fine;
}

/* Whether what the line has before its -> is one of the heads. */
static bool is_measured(const struct tune_lines *lines, const char *line, size_t length)
{
    const char *arrow = line;
    const char *head = lines->measured ? lines->measured : "";

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

bool tune_lines_write(const struct tune_lines *lines, struct output *output)
{
    char *text = NULL;
    size_t length = 0;
    size_t added = lines->added ? strlen(lines->added) : 0;
    bool written = false;

    if (lines->lost)
        return no_memory();
    if (!read_old(output->path, &text, &length))
        return false;
    length = keep_others(lines, text, length);
    if (length + added > MOST_BYTES) {
        cli_fail(CLI_FAILED, output->path,
                 "would grow beyond the 1 MiB that is read; take lines out, or name another file");
    } else {
        written = output_write(output, text, length) && output_write(output, lines->added, added) &&
                  output_close(output) && output_commit(output, false);
    }
    free(text);
    return written;
}
