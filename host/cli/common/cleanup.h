/* Files to be removed should a signal end the program. */
#ifndef ANYNORM_CLI_CLEANUP_H
#define ANYNORM_CLI_CLEANUP_H

/* One of any number of such files. */
struct cleanup;

/* Installs the handlers: SIGINT, SIGTERM, SIGHUP and SIGPIPE remove the files and then end the
 * program as they would have; SIGBUS, which a mapped input raises when it was cut meanwhile, says
 * so and exits with 1. SIGXFSZ is ignored, so that write() reports the limit. Signals the parent
 * had set to be ignored, stay ignored. */
void cleanup_install(void);

/* Adds a path; NULL: out of memory. */
struct cleanup *cleanup_add(const char *path);
/* NULL does nothing. */
void cleanup_remove(struct cleanup *cleanup);

#endif
