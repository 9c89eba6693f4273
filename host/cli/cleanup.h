/* Files to be removed should a signal end the program. */
#ifndef ANYNORM_CLI_CLEANUP_H
#define ANYNORM_CLI_CLEANUP_H

/* Installs the handlers: SIGINT, SIGTERM, SIGHUP and SIGPIPE remove the files and then end the
 * program as they would have; SIGBUS, which a mapped input raises when it was cut meanwhile, says
 * so and exits with 1. SIGXFSZ is ignored, so that write() reports the limit. Signals the parent
 * had set to be ignored, stay ignored. */
void cleanup_install(void);

/* Adds a path; returns its slot, or -1 if it is too long or all slots are taken. */
int cleanup_add(const char *path);
void cleanup_remove(int slot);

#endif
