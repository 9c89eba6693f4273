/* Drivers that are known to do something wrong, and what is masked so that nobody meets it. */
#ifndef AN_QUIRKS_H
#define AN_QUIRKS_H

#include <anynorm/anynorm.h>

/* A known fault. It applies to a device where everything matches that is not NULL. Patterns match
 * the whole text in any case; * stands for any characters, ? for one. */
struct an_quirk {
    const char *api;      /* "opencl" or "vulkan": what the device's id begins with */
    const char *platform; /* pattern of anynorm_device_info.platform */
    const char *name;     /* pattern of anynorm_device_info.name */

    /* The versions: numbers with points, compared number by number, where one that is missing is 0.
     * `version_after` is the text of anynorm_device_info.driver that the version comes right after;
     * "": the driver begins with it. A driver that tells no version there is left alone. */
    const char *version_after;
    const char *from;   /* the first version with the fault; NULL: all before have it */
    const char *before; /* the first one without it; NULL: none is known */

    const char *caps;      /* what to mask, in the words of ANYNORM_CAPS */
    const char *reference; /* where the fault was reported: an https:// address that can be read */
};

/* The table of host/choice/quirks.c. */
extern const struct an_quirk an_quirks[];
extern const size_t an_quirks_count;

/* Less than, equal to or greater than 0, as version `a` is to `b`. What follows the numbers with
 * points does not count. */
int an_version_compare(const char *a, const char *b);

bool an_quirk_applies(const struct an_quirk *quirk, const anynorm_device_info *info);

/* Masks *info for each quirk of a table that applies, fills info->quirks and logs each.
 * INVALID_ARGUMENT: the table has a bad word of ANYNORM_CAPS; *info is then as masked so far. */
anynorm_status an_quirks_mask_by(anynorm_device_info *info, const struct an_quirk *table,
                                 size_t count);

/* The same with our table, unless $ANYNORM_QUIRKS is "off". INVALID_ARGUMENT where that is neither
 * "off" nor "on"; *info is then untouched. */
anynorm_status an_quirks_mask(anynorm_device_info *info);

/* What becomes of each device once it is described: its quirks masked, then what $ANYNORM_CAPS
 * says. */
anynorm_status an_quirks_mask_device(anynorm_device_info *info);

/* Whether a work-item's loops end, without an error, after 65535 rounds in all: in Mesa's llvmpipe
 * before version 25, under both APIs. No mask helps; the schedules keep rows shorter. */
bool an_quirks_end_loops(const anynorm_device_info *info);

#endif
