/* Numbers with a decimal point, whatever the program's language has. */
#ifndef AN_NUMBERS_H
#define AN_NUMBERS_H

/* What a thread's language was. */
struct an_numbers {
    void *point, *before;
};

/* From here to an_numbers_leave the thread writes and reads numbers as C does; without memory, as
 * the program's language has them. */
struct an_numbers an_numbers_enter(void);
void an_numbers_leave(struct an_numbers numbers);

#endif
