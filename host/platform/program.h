/* How a program begins, and what it does before a signal ends it. */
#ifndef AN_PROGRAM_H
#define AN_PROGRAM_H

/* Its arguments in UTF-8, in place of what main was given where that is something else. */
char **an_program_arguments(int *argc, char **argv);

/* Has `end` called, on any thread at any time, before the program is ended from outside, by the
 * terminal or because a file that it has mapped was cut; then `lost` is said on stderr, and the
 * exit status is 1. A file that grows too large is an error of its write, not the end. */
void an_signals_catch(void (*end)(void), const char *lost);

#endif
