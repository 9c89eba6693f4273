/* Faults of the system calls on files. The tested archives are linked with --wrap for the calls
 * that file_faults.c replaces, so that the library's and the program's own calls fail as told, and
 * nobody else's. */
#ifndef AN_TESTS_FILE_FAULTS_H
#define AN_TESTS_FILE_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

enum file_call {
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE,
    CALL_CLOSE,
    CALL_STAT,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_MKDIR,
    CALL_TOUCH,
    CALL_LIST, /* fdopendir, readdir */
    CALL_CHMOD,
    CALL_ACCESS,
    CALL_RESOLVE,
    CALL_MAP,
    CALL_LIMIT,
    CALL_KINDS
};

enum fault_manner {
    FAULT_NONE,
    FAULT_ONCE,       /* call number `at` fails with `error` */
    FAULT_STICKY,     /* and all later ones that may fail so; with EINTR, 40 in a row at most */
    FAULT_SHORT,      /* a read or a write moves one byte */
    FAULT_SHORT_EACH, /* and all later ones */
    FAULT_END,        /* a read moves half and all later ones nothing, as where the file was cut; a
                         write moves nothing, and no error is told */
    FAULT_KILL,       /* SIGKILL in place of the call */
    FAULT_KILL_HALF   /* SIGKILL after half of a write */
};

struct file_fault {
    enum fault_manner manner;
    unsigned at; /* counted from 1 */
    int error;
    enum file_call call; /* what call number `at` is */
};

/* In the folder, what `act` says on stderr. */
#define FAULT_MESSAGES "messages.txt"

/* One scenario of faults. Its folder is the working one, and empty before `prepare`. */
struct fault_scenario {
    const char *name;
    void (*prepare)(void);
    /* In a process of its own, with the fault: returns what its caller learned, 0 to 99. */
    int (*act)(void);
    /* Afterwards, with none. `outcome` is act's, or -1 where the process was killed; `left` where
     * it could not delete what it wanted to. */
    void (*check)(const struct file_fault *fault, int outcome, bool left);
};

/* Whether the caller may expect what there is without a fault. */
bool fault_is_harmless(const struct file_fault *fault);

/* Fails the test, naming the scenario and its fault, unless `holds`. */
void fault_expect(bool holds, const char *what);

/* Runs each scenario once without a fault and then with each fault at each of its calls; prints how
 * many, and the sums over all. `folder` is emptied before each run. Fails the test where a process
 * crashes, leaks a descriptor, or `check` fails. */
void run_fault_scenarios(const struct fault_scenario *scenarios, size_t count, const char *folder);

#endif
