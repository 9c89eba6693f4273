/* What is chosen for a described device. */
#ifndef AN_TESTS_FITS_H
#define AN_TESTS_FITS_H

#include "refused.h"

#include "choice/choice.h"

static inline bool fits(const anynorm_device_info *info, const anynorm_spec *spec,
                        const struct an_choice *wish, struct an_choice *choice)
{
    char reason[160] = "";
    bool result = an_select_fits(info, spec, wish, choice, reason);
    assert_true(*reason && !strchr(reason, '\n'));
    return result;
}

static inline bool first_that_fits(const anynorm_device_info *info, const anynorm_spec *spec,
                                   struct an_choice *choice)
{
    struct an_choice wish = {.schedule = AN_REFERENCE};
    for (size_t i = 0; an_select_order(info, spec, i, &wish.schedule); i++) {
        if (fits(info, spec, &wish, choice))
            return true;
    }
    return false;
}

#endif
