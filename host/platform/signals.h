/* What a program does before a signal ends it. */
#ifndef AN_SIGNALS_H
#define AN_SIGNALS_H

/* Has `end` called, on any thread at any time, before the program is ended from outside, by the
 * terminal or because a file that it has mapped was cut; then `lost` is said on stderr, and the
 * exit status is 1. A file that grows too large is an error of its write, not the end. */
void an_signals_catch(void (*end)(void), const char *lost);

#endif
