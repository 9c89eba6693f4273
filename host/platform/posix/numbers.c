#include "platform/numbers.h"

#include <locale.h>
#include <stddef.h>

struct an_numbers an_numbers_enter(void)
{
    locale_t point = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    return (struct an_numbers){point, point ? uselocale(point) : NULL};
}

void an_numbers_leave(struct an_numbers numbers)
{
    if (!numbers.point)
        return;
    (void)uselocale(numbers.before);
    freelocale(numbers.point);
}
