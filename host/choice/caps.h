/* What a device can do: pretending that it can do less, drivers that are known to do something
 * wrong, and which of several devices is the better. */
#ifndef AN_CAPS_H
#define AN_CAPS_H

#include <anynorm/anynorm.h>

/* ---- Masks ---- */

/* Applies a list such as "no-fp16,max-wg=64" to *info: features off, limits lowered (never raised).
 * INVALID_ARGUMENT names the word that is wrong; *info is then untouched. */
anynorm_status an_caps_mask(anynorm_device_info *info, const char *list);

/* A known fault. It applies to a device where everything matches that is not NULL. Patterns are
 * those of an_text_match. */
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

/* Our table. */
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

/* ---- Kinds ---- */

/* Whether it is a device of Vulkan's, whose kernels are others than OpenCL's: by its id. */
bool an_info_is_vulkan(const anynorm_device_info *info);

/* Whether a work-item's loops end, without an error, after 65535 rounds in all: in Mesa's llvmpipe
 * before version 25, under both APIs. No mask helps; the schedules keep rows shorter. */
bool an_quirks_end_loops(const anynorm_device_info *info);

/* Which size of sub-groups kernels are made for, where a device has `usual` and takes any power of
 * two from `least` to `most`; 0: none that they know. */
uint32_t an_caps_subgroup_size(uint32_t usual, uint32_t least, uint32_t most);

/* Whether it is Intel's from Xe2 and Ponte Vecchio on, whose registers are twice as wide. */
bool an_info_wide_registers(const anynorm_device_info *info);

/* Whether a work-item has few registers, a quarter of the usual ones: in sub-groups of 16 that are
 * not of those. */
bool an_info_few_registers(const anynorm_device_info *info);

/* Whether it has hardly any: Broadcom's V3D, told by what else it lacks. */
bool an_info_least_registers(const anynorm_device_info *info);

/* Whether it is of a vendor, by the name that its texts begin with. */
bool an_info_is_of(const anynorm_device_info *info, const char *vendor);

/* Whether the names are those of what emulates, or simulates, a device. */
bool an_emulates(const char *name, const char *platform);

/* Of two devices the better has the larger; of equally good ones the first is taken. By class, by
 * memory, by what is faster by class, of the device and of its driver (one GPU that OpenCL and
 * Vulkan both reach is two devices, whose units they may count differently), and by units. */
uint64_t an_preference(const anynorm_device_info *info);

#endif
