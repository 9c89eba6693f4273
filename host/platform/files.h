/* Files. What fails returns false, -1 or NULL with the reason in errno; what a signal interrupts,
 * as it may on a network's file system, goes on. Paths are UTF-8. */
#ifndef AN_FILES_H
#define AN_FILES_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the longest path, with its end. */
enum { AN_PATH_SIZE = 4096 };

enum an_open {
    AN_OPEN_READ,   /* not waiting for who writes into a pipe */
    AN_OPEN_WRITE,  /* what is there */
    AN_OPEN_CREATE, /* to write; EEXIST where something has the name, be it a link that leads
                       nowhere */
};

enum an_kind {
    AN_KIND_FILE,
    AN_KIND_FOLDER,
    AN_KIND_LINK,
    AN_KIND_SINK, /* /dev/null */
    AN_KIND_OTHER
};

struct an_status {
    enum an_kind kind;
    int mode;     /* rwxrwxrwx */
    bool private; /* the user's own, and closed to everybody else */
    uint64_t size;
    uint64_t device, number; /* which file it is, whatever its name */
    int64_t changed;         /* nanoseconds since 1970 */
};

/* ---- By path ---- */

int an_file_open(const char *path, enum an_open how, int mode);
/* Of a link's target, if `follow`. */
bool an_path_status(const char *path, bool follow, struct an_status *status);
/* Whether the file may be written, or files be made in the folder. */
bool an_path_writable(const char *path, bool folder);
/* With links followed; to be freed. */
char *an_path_resolve(const char *path);
bool an_path_is_absolute(const char *path);
bool an_path_is_separator(char c);
/* Behind the last of what separates folders; and the folder, "." where none is named, to be freed.
 */
const char *an_path_base(const char *path);
char *an_path_folder(const char *path);
bool an_path_delete(const char *path);
/* Replaces what is there. */
bool an_path_rename(const char *from, const char *to);
/* Each gets the other's name; false also where this system or the file system cannot. */
bool an_path_exchange(const char *one, const char *other);
/* For the user alone. */
bool an_folder_make(const char *path);

/* ---- By descriptor ---- */

bool an_file_close(int file);
bool an_file_status(int file, struct an_status *status);
/* Less than `size` only at the file's end. */
int64_t an_file_read(int file, void *bytes, size_t size);
/* errno is 0 where it failed with no reason told. */
bool an_file_write(int file, const void *bytes, size_t size);
/* Used now. */
bool an_file_touch(int file);
/* Gives it the mode, where its file system lets it: some refuse any change of one, and give all
 * files the same. */
void an_file_set_mode(int file, int mode);
/* To be read; lives on when the file is closed. */
void *an_file_map(int file, size_t size);
void an_file_unmap(void *bytes, size_t size);
/* Whether the process may write so large a file: past its limit a write would kill it, not fail. */
bool an_file_size_allowed(size_t size);

/* ---- Within an open folder, without following links ---- */

int an_folder_open(const char *path);
/* A file it creates is the user's alone. */
int an_folder_file(int folder, const char *name, enum an_open how);
bool an_folder_status(int folder, const char *name, struct an_status *status);
bool an_folder_delete(int folder, const char *name);
bool an_folder_rename(int folder, const char *from, const char *to);
/* Calls `each` for every name until it returns false. */
void an_folder_list(int folder, bool (*each)(void *user, const char *name), void *user);

/* Whether an error says nothing of a file, only that the process or machine is short of something
 * now. */
static inline bool an_is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

#endif
