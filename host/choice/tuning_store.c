/* The tuning databases of the process: where they are, and keeping what was read. */
#include "tuning.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "platform/environment.h"
#include "platform/files.h"
#include "platform/threads.h"

/* Complaints about one file; more would only bury what else the log has. */
#define MOST_COMPLAINTS 10

/* What tells that a file is still the one that was read. */
struct identity {
    char path[AN_PATH_SIZE];
    int error; /* why there is none; 0: there is one */
    struct an_status status;
};

static an_mutex lock = AN_MUTEX_READY;
static bool built_in_read;
static struct an_tunings built_in;
static struct identity users_identity; /* of the empty path: nothing was read */
static struct an_tunings users_own;

/* ---- Where ---- */

/* Where the user names his file, or says "off". */
#define VARIABLE "ANYNORM_TUNING"

static bool is_off(void)
{
    const char *named = an_environment(VARIABLE);
    return named && strcmp(named, "off") == 0;
}

size_t anynorm_tuning_path(char *path, size_t capacity)
{
    const char *named = an_environment(VARIABLE);
    int length = 0;
    if (capacity > 0)
        *path = 0;
    if (an_rights_are_borrowed() || is_off())
        return 0;
    if (named)
        length = snprintf(path, capacity, "%s", named);
    for (const struct an_place *at = an_tuning_places; !named && length == 0 && at->variable;
         at++) {
        const char *base = an_environment(at->variable);
        if (base && an_path_is_absolute(base)) /* the XDG rules have a relative one ignored */
            length = snprintf(path, capacity, "%s%s", base, at->below);
    }
    return length > 0 ? (size_t)length : 0;
}

/* ---- Reading ---- */

struct complaints {
    const char *name;
    int count;
};

static void complain(void *user, size_t line)
{
    struct complaints *complaints = user;
    if (++complaints->count <= MOST_COMPLAINTS)
        an_log(ANYNORM_LOG_WARN, "%s:%zu: left out: %s", complaints->name, line, anynorm_message());
}

/* False for want of memory: then the text is to be read again. */
static bool parse(const char *name, const char *text, size_t length, struct an_tunings *tunings)
{
    struct complaints complaints = {name, 0};
    anynorm_status status = ANYNORM_OK;
    if (memchr(text, 0, length))
        an_log(ANYNORM_LOG_WARN, "%s: not used: it holds zero bytes, so it is no text", name);
    else
        status = an_tuning_parse_all(text, length, complain, &complaints, tunings);
    if (status != ANYNORM_OK)
        an_log(ANYNORM_LOG_WARN, "%s: not used: %s", name, anynorm_message());
    if (complaints.count > MOST_COMPLAINTS)
        an_log(ANYNORM_LOG_WARN, "%s: %d more lines are left out", name,
               complaints.count - MOST_COMPLAINTS);
    return status == ANYNORM_OK;
}

/* The whole file, or NULL with the reason; `passing` if that may be gone the next time. */
static char *read_file(const char *path, size_t *length, const char **reason, bool *passing)
{
    struct an_status status;
    char *text = NULL;
    int file = an_file_open(path, AN_OPEN_READ, 0);
    *passing = false;
    if (file < 0 || !an_file_status(file, &status)) {
        *reason = strerror(errno);
        *passing = an_is_shortage(errno);
        goto end;
    }
    *reason = status.kind != AN_KIND_FILE          ? "it is no regular file"
              : status.size > AN_TUNING_MOST_BYTES ? "it is larger than 1 MiB"
                                                   : NULL;
    if (*reason)
        goto end;
    text = malloc((size_t)status.size + 1);
    if (!text) {
        *reason = "no host memory for it";
        *passing = true;
        goto end;
    }
    *length = (size_t)status.size;
    int64_t got = an_file_read(file, text, *length);
    if (got != (int64_t)*length) { /* half of its lines may say something else than all of them */
        *reason = got < 0 ? strerror(errno) : "it was cut while it was read";
        free(text);
        text = NULL;
    }

end:
    if (file >= 0)
        an_file_close(file);
    return text;
}

static struct identity identify(const char *path)
{
    struct identity identity = {.error = 0};
    snprintf(identity.path, sizeof(identity.path), "%s", path);
    if (!an_path_status(path, true, &identity.status))
        identity.error = errno;
    return identity;
}

static bool same(const struct identity *a, const struct identity *b)
{
    const struct an_status *one = &a->status, *other = &b->status;
    return strcmp(a->path, b->path) == 0 && a->error == b->error && one->device == other->device &&
           one->number == other->number && one->size == other->size &&
           one->changed == other->changed;
}

/* Under the lock. */
static void refresh_users_own(void)
{
    char path[AN_PATH_SIZE];
    size_t length = anynorm_tuning_path(path, sizeof(path));
    if (length >= sizeof(path))
        path[0] = 0;
    struct identity now = identify(path);
    if (same(&now, &users_identity))
        return;
    free(users_own.entries);
    users_own = (struct an_tunings){NULL, 0};
    users_identity = now;
    if (!*path || (now.error == ENOENT && !an_environment(VARIABLE)))
        return;
    const char *reason;
    bool passing;
    char *text = read_file(path, &length, &reason, &passing);
    if (text)
        passing = !parse(path, text, length, &users_own);
    else
        an_log(ANYNORM_LOG_WARN, "%s: not used: %s", path, reason);
    free(text);
    if (passing)
        users_identity = (struct identity){.error = 0};
}

bool an_tuning_ask(const anynorm_device_info *info, const anynorm_spec *spec, uint64_t rows,
                   bool users, struct an_choice *wish, char *source, size_t capacity)
{
    const struct an_tuning *found = NULL;
    if (is_off() || info->device_class == ANYNORM_CLASS_REFERENCE)
        return false;
    an_mutex_lock(&lock);
    if (!built_in_read)
        built_in_read = parse("the built-in tuning", an_tunings_text, an_tunings_length, &built_in);
    if (users) {
        refresh_users_own();
        found = an_tuning_find(&users_own, info, spec, rows);
        if (found)
            snprintf(source, capacity, "%s:%zu", users_identity.path, found->line);
    }
    if (!found) {
        found = an_tuning_find(&built_in, info, spec, rows);
        if (found)
            snprintf(source, capacity, "the built-in tuning:%zu", found->line);
    }
    if (found)
        *wish = found->choice;
    an_mutex_unlock(&lock);
    return found != NULL;
}
