/* The calls on files in place of the C library's, which they pass on, and the runs of scenarios. */
#include "file_faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* glibc's headers give some calls another name where files may be large. */
#if defined(__USE_FILE_OFFSET64)
#define LARGE "64"
#else
#define LARGE ""
#endif

enum { MOST_CALLS = 4096, INTERRUPTIONS = 40 };

/* Exit statuses: of outcomes from the first on, as sanitizers have small ones of their own. */
enum { OUTCOMES = 100, LEAKED = 200 };

/* What the processes of a run share. */
struct shared {
    struct file_fault fault;
    bool armed;
    unsigned calls;
    unsigned interruptions;
    bool left;
    unsigned char kinds[MOST_CALLS];
};

static struct shared *shared;

/* Errors that a call may have, as the manuals of Linux and of network file systems have them. */
static const int errors[CALL_KINDS][8] = {
    [CALL_OPEN] = {EIO, EINTR, EMFILE, ENOSPC, EACCES, ENOMEM, EROFS},
    [CALL_READ] = {EIO, EINTR},
    [CALL_WRITE] = {ENOSPC, EIO, EINTR, EDQUOT, EFBIG},
    [CALL_CLOSE] = {EIO, ENOSPC, EINTR, EDQUOT},
    [CALL_STAT] = {EIO, ENOMEM, EACCES},
    [CALL_RENAME] = {ENOSPC, EIO, EACCES, EROFS},
    [CALL_UNLINK] = {EIO, EACCES, EROFS},
    [CALL_MKDIR] = {ENOSPC, EIO, EACCES},
    [CALL_TOUCH] = {EROFS, EIO, EPERM},
    [CALL_LIST] = {EIO, ENOMEM},
    [CALL_CHMOD] = {EPERM, EIO, EROFS},
    [CALL_ACCESS] = {EIO, EROFS, EACCES},
    [CALL_RESOLVE] = {EIO, ELOOP, ENOMEM},
    [CALL_MAP] = {ENOMEM, EIO, EAGAIN},
    [CALL_LIMIT] = {EINVAL},
};

static bool may_have(enum file_call call, int error)
{
    for (const int *e = errors[call]; *e; e++) {
        if (*e == error)
            return true;
    }
    return false;
}

/* ---- Whether a call fails ---- */

enum verdict { PASS, FAIL, SHORT, END, HALF };

static enum verdict judge(enum file_call call)
{
    if (!shared || !shared->armed)
        return PASS;
    const struct file_fault *fault = &shared->fault;
    unsigned number = ++shared->calls;
    if (number <= MOST_CALLS)
        shared->kinds[number - 1] = (unsigned char)call;
    if (fault->manner == FAULT_NONE || number < fault->at)
        return PASS;
    bool here = number == fault->at;
    switch (fault->manner) {
    case FAULT_ONCE:
    case FAULT_STICKY:
        if (fault->error == EINTR && ++shared->interruptions > INTERRUPTIONS)
            return PASS;
        if ((!here && fault->manner == FAULT_ONCE) || !may_have(call, fault->error))
            return PASS;
        shared->left = shared->left || call == CALL_UNLINK;
        errno = fault->error;
        return FAIL;
    case FAULT_SHORT:
    case FAULT_SHORT_EACH:
        return here || fault->manner == FAULT_SHORT_EACH ? SHORT : PASS;
    case FAULT_END:
        return here && call == CALL_READ ? HALF : here || call == CALL_READ ? END : PASS;
    case FAULT_KILL_HALF:
        return here ? HALF : PASS;
    case FAULT_KILL:
        if (here)
            raise(SIGKILL);
        return PASS;
    case FAULT_NONE:
        break;
    }
    return PASS;
}

bool fault_is_harmless(const struct file_fault *fault)
{
    bool retried =
        fault->call == CALL_OPEN || fault->call == CALL_READ || fault->call == CALL_WRITE;
    /* EPERM is what file systems without modes say. */
    bool passed_over =
        fault->call == CALL_CHMOD && (fault->manner == FAULT_ONCE || fault->error == EPERM);
    return passed_over || fault->manner == FAULT_NONE || fault->manner == FAULT_SHORT ||
           fault->manner == FAULT_SHORT_EACH ||
           (fault->manner == FAULT_ONCE && fault->error == EINTR && retried);
}

/* ---- The calls ---- */

int real_open(const char *, int, ...) __asm__("__real_open" LARGE);
int fault_open(const char *path, int flags, ...) __asm__("__wrap_open" LARGE);
int real_openat(int, const char *, int, ...) __asm__("__real_openat" LARGE);
int fault_openat(int folder, const char *path, int flags, ...) __asm__("__wrap_openat" LARGE);
ssize_t real_read(int, void *, size_t) __asm__("__real_read");
ssize_t fault_read(int file, void *to, size_t size) __asm__("__wrap_read");
ssize_t real_write(int, const void *, size_t) __asm__("__real_write");
ssize_t fault_write(int file, const void *from, size_t size) __asm__("__wrap_write");
int real_close(int) __asm__("__real_close");
int fault_close(int file) __asm__("__wrap_close");
int real_stat(const char *, struct stat *) __asm__("__real_stat" LARGE);
int fault_stat(const char *path, struct stat *status) __asm__("__wrap_stat" LARGE);
int real_lstat(const char *, struct stat *) __asm__("__real_lstat" LARGE);
int fault_lstat(const char *path, struct stat *status) __asm__("__wrap_lstat" LARGE);
int real_fstat(int, struct stat *) __asm__("__real_fstat" LARGE);
int fault_fstat(int file, struct stat *status) __asm__("__wrap_fstat" LARGE);
int real_fstatat(int, const char *, struct stat *, int) __asm__("__real_fstatat" LARGE);
int fault_fstatat(int folder, const char *path, struct stat *status,
                  int flags) __asm__("__wrap_fstatat" LARGE);
int real_rename(const char *, const char *) __asm__("__real_rename");
int fault_rename(const char *from, const char *to) __asm__("__wrap_rename");
int real_renameat(int, const char *, int, const char *) __asm__("__real_renameat");
int fault_renameat(int from_folder, const char *from, int to_folder,
                   const char *to) __asm__("__wrap_renameat");
int real_renameat2(int, const char *, int, const char *, unsigned) __asm__("__real_renameat2");
int fault_renameat2(int from_folder, const char *from, int to_folder, const char *to,
                    unsigned flags) __asm__("__wrap_renameat2");
int real_unlink(const char *) __asm__("__real_unlink");
int fault_unlink(const char *path) __asm__("__wrap_unlink");
int real_unlinkat(int, const char *, int) __asm__("__real_unlinkat");
int fault_unlinkat(int folder, const char *path, int flags) __asm__("__wrap_unlinkat");
int real_mkdir(const char *, mode_t) __asm__("__real_mkdir");
int fault_mkdir(const char *path, mode_t mode) __asm__("__wrap_mkdir");
int real_futimens(int, const struct timespec *) __asm__("__real_futimens");
int fault_futimens(int file, const struct timespec *times) __asm__("__wrap_futimens");
DIR *real_fdopendir(int) __asm__("__real_fdopendir");
DIR *fault_fdopendir(int file) __asm__("__wrap_fdopendir");
struct dirent *real_readdir(DIR *) __asm__("__real_readdir" LARGE);
struct dirent *fault_readdir(DIR *folder) __asm__("__wrap_readdir" LARGE);
int real_fchmod(int, mode_t) __asm__("__real_fchmod");
int fault_fchmod(int file, mode_t mode) __asm__("__wrap_fchmod");
int real_access(const char *, int) __asm__("__real_access");
int fault_access(const char *path, int mode) __asm__("__wrap_access");
char *real_realpath(const char *, char *) __asm__("__real_realpath");
char *fault_realpath(const char *path, char *resolved) __asm__("__wrap_realpath");
void *real_mmap(void *, size_t, int, int, int, off_t) __asm__("__real_mmap" LARGE);
void *fault_mmap(void *at, size_t size, int protection, int flags, int file,
                 off_t offset) __asm__("__wrap_mmap" LARGE);
int real_getrlimit(int, struct rlimit *) __asm__("__real_getrlimit" LARGE);
int fault_getrlimit(int what, struct rlimit *limit) __asm__("__wrap_getrlimit" LARGE);

/* The third or fourth argument of an open that may make a file. */
static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT ? va_arg(list, mode_t) : 0;
}

int fault_open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return judge(CALL_OPEN) == FAIL ? -1 : real_open(path, flags, mode);
}

int fault_openat(int folder, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = mode_of(flags, list);
    va_end(list);
    return judge(CALL_OPEN) == FAIL ? -1 : real_openat(folder, path, flags, mode);
}

ssize_t fault_read(int file, void *to, size_t size)
{
    enum verdict verdict = judge(CALL_READ);
    if (verdict == FAIL || verdict == END)
        return verdict == FAIL ? -1 : 0;
    if (verdict == HALF)
        return real_read(file, to, size / 2);
    return real_read(file, to, verdict == SHORT && size > 1 ? 1 : size);
}

ssize_t fault_write(int file, const void *from, size_t size)
{
    enum verdict verdict = judge(CALL_WRITE);
    if (verdict == FAIL || verdict == END)
        return verdict == FAIL ? -1 : 0;
    if (verdict == HALF && real_write(file, from, size / 2) >= 0)
        raise(SIGKILL);
    return real_write(file, from, verdict == SHORT && size > 1 ? 1 : size);
}

/* As Linux has it, the descriptor is closed whatever close says. */
int fault_close(int file)
{
    bool fails = judge(CALL_CLOSE) == FAIL;
    int error = errno, result = real_close(file);
    if (fails)
        errno = error;
    return fails ? -1 : result;
}

int fault_stat(const char *path, struct stat *status)
{
    return judge(CALL_STAT) == FAIL ? -1 : real_stat(path, status);
}

int fault_lstat(const char *path, struct stat *status)
{
    return judge(CALL_STAT) == FAIL ? -1 : real_lstat(path, status);
}

int fault_fstat(int file, struct stat *status)
{
    return judge(CALL_STAT) == FAIL ? -1 : real_fstat(file, status);
}

int fault_fstatat(int folder, const char *path, struct stat *status, int flags)
{
    return judge(CALL_STAT) == FAIL ? -1 : real_fstatat(folder, path, status, flags);
}

int fault_rename(const char *from, const char *to)
{
    return judge(CALL_RENAME) == FAIL ? -1 : real_rename(from, to);
}

int fault_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return judge(CALL_RENAME) == FAIL ? -1 : real_renameat(from_folder, from, to_folder, to);
}

int fault_renameat2(int from_folder, const char *from, int to_folder, const char *to,
                    unsigned flags)
{
    return judge(CALL_RENAME) == FAIL ? -1
                                      : real_renameat2(from_folder, from, to_folder, to, flags);
}

int fault_unlink(const char *path)
{
    return judge(CALL_UNLINK) == FAIL ? -1 : real_unlink(path);
}

int fault_unlinkat(int folder, const char *path, int flags)
{
    return judge(CALL_UNLINK) == FAIL ? -1 : real_unlinkat(folder, path, flags);
}

int fault_mkdir(const char *path, mode_t mode)
{
    return judge(CALL_MKDIR) == FAIL ? -1 : real_mkdir(path, mode);
}

int fault_futimens(int file, const struct timespec *times)
{
    return judge(CALL_TOUCH) == FAIL ? -1 : real_futimens(file, times);
}

DIR *fault_fdopendir(int file)
{
    return judge(CALL_LIST) == FAIL ? NULL : real_fdopendir(file);
}

struct dirent *fault_readdir(DIR *folder)
{
    return judge(CALL_LIST) == FAIL ? NULL : real_readdir(folder);
}

int fault_fchmod(int file, mode_t mode)
{
    return judge(CALL_CHMOD) == FAIL ? -1 : real_fchmod(file, mode);
}

int fault_access(const char *path, int mode)
{
    return judge(CALL_ACCESS) == FAIL ? -1 : real_access(path, mode);
}

char *fault_realpath(const char *path, char *resolved)
{
    return judge(CALL_RESOLVE) == FAIL ? NULL : real_realpath(path, resolved);
}

void *fault_mmap(void *at, size_t size, int protection, int flags, int file, off_t offset)
{
    return judge(CALL_MAP) == FAIL ? MAP_FAILED
                                   : real_mmap(at, size, protection, flags, file, offset);
}

int fault_getrlimit(int what, struct rlimit *limit)
{
    return judge(CALL_LIMIT) == FAIL ? -1 : real_getrlimit(what, limit);
}

/* ---- Runs ---- */

static struct {
    unsigned faults, calls, kills, scenarios;
    bool seen[CALL_KINDS];
} totals;

static const struct fault_scenario *current;

static int count_descriptors(void)
{
    int count = 0;
    for (int file = 0; file < 256; file++)
        count += fcntl(file, F_GETFD) >= 0;
    return count;
}

void fault_expect(bool holds, const char *what)
{
    const struct file_fault *fault = &shared->fault;
    if (!holds)
        fail_msg("%s: manner %d, error %d at call %u of kind %d: %s", current->name,
                 (int)fault->manner, fault->error, fault->at, (int)fault->call, what);
}

/* Returns act's outcome, or -1 where it was killed as the fault has it. */
static int run_once(const struct fault_scenario *scenario, const struct file_fault *fault,
                    const char *folder)
{
    int status;
    current = scenario;
    assert_int_equal(chdir("/"), 0);
    remove_folder(folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chdir(folder), 0);
    scenario->prepare();
    *shared = (struct shared){.fault = *fault};
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int messages = creat(FAULT_MESSAGES, 0600);
        if (messages < 0 || dup2(messages, STDERR_FILENO) < 0)
            exit(1);
        int descriptors = count_descriptors();
        shared->armed = true;
        int outcome = scenario->act();
        shared->armed = false;
        exit(count_descriptors() == descriptors ? OUTCOMES + outcome : LEAKED);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
        (fault->manner == FAULT_KILL || fault->manner == FAULT_KILL_HALF))
        return -1;
    fault_expect(WIFEXITED(status), "the process crashed");
    fault_expect(WEXITSTATUS(status) != LEAKED, "a descriptor is left open");
    fault_expect(WEXITSTATUS(status) >= OUTCOMES, "a sanitizer found something");
    return WEXITSTATUS(status) - OUTCOMES;
}

static void try_fault(const struct fault_scenario *scenario, const struct file_fault *fault,
                      const char *folder)
{
    int outcome = run_once(scenario, fault, folder);
    scenario->check(fault, outcome, shared->left);
    totals.faults += fault->manner != FAULT_NONE;
    totals.kills += fault->manner == FAULT_KILL || fault->manner == FAULT_KILL_HALF;
}

static void try_faults_at(const struct fault_scenario *scenario, unsigned at, enum file_call call,
                          const char *folder)
{
    struct file_fault fault = {.at = at, .call = call};
    for (const int *error = errors[call]; *error; error++) {
        fault.error = *error;
        for (fault.manner = FAULT_ONCE; fault.manner <= FAULT_STICKY; fault.manner++)
            try_fault(scenario, &fault, folder);
    }
    fault.error = 0;
    if (call == CALL_READ || call == CALL_WRITE) {
        for (fault.manner = FAULT_SHORT; fault.manner <= FAULT_END; fault.manner++)
            try_fault(scenario, &fault, folder);
    }
    fault.manner = FAULT_KILL;
    try_fault(scenario, &fault, folder);
    fault.manner = FAULT_KILL_HALF;
    if (call == CALL_WRITE)
        try_fault(scenario, &fault, folder);
}

static void run_scenario(const struct fault_scenario *scenario, const char *folder)
{
    static unsigned char kinds[MOST_CALLS];
    const struct file_fault none = {.manner = FAULT_NONE};
    unsigned before = totals.faults;
    if (!shared) {
        shared =
            mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(shared != MAP_FAILED);
    }
    try_fault(scenario, &none, folder);
    unsigned calls = shared->calls;
    assert_between(calls, 1, MOST_CALLS);
    memcpy(kinds, shared->kinds, calls);
    for (unsigned at = 1; at <= calls; at++) {
        totals.seen[kinds[at - 1]] = true;
        try_faults_at(scenario, at, (enum file_call)kinds[at - 1], folder);
    }
    assert_int_equal(chdir("/"), 0);
    totals.calls += calls;
    totals.scenarios++;
    fprintf(stderr, "# %s: %u faults at %u calls\n", scenario->name, totals.faults - before, calls);
}

void run_fault_scenarios(const struct fault_scenario *scenarios, size_t count, const char *folder)
{
    unsigned kinds = 0;
    for (size_t i = 0; i < count; i++)
        run_scenario(&scenarios[i], folder);
    for (int i = 0; i < CALL_KINDS; i++)
        kinds += totals.seen[i];
    fprintf(stderr, "# %u faults, %u of them kills, at %u calls of %u kinds in %u scenarios\n",
            totals.faults, totals.kills, totals.calls, kinds, totals.scenarios);
}
