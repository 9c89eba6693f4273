#include "platform/numbers.h"

#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct an_numbers an_numbers_enter(void)
{
    struct an_numbers numbers = {NULL, NULL};
    int per_thread = _configthreadlocale(_ENABLE_PER_THREAD_LOCALE); /* what it was: 1 or 2 */
    const char *now = setlocale(LC_NUMERIC, NULL);
    char *before = now ? strdup(now) : NULL;
    if (!before) {
        (void)_configthreadlocale(per_thread);
        return numbers;
    }
    (void)setlocale(LC_NUMERIC, "C");
    return (struct an_numbers){(void *)(intptr_t)per_thread, before};
}

void an_numbers_leave(struct an_numbers numbers)
{
    if (!numbers.before)
        return;
    (void)setlocale(LC_NUMERIC, numbers.before);
    (void)_configthreadlocale((int)(intptr_t)numbers.point);
    free(numbers.before);
}
