/* What is asked of devices that are not here: types, flags and numbers of columns, and of what is
 * made of them each different configuration once. Of the programs that list OpenCL's and Vulkan's.
 */
#ifndef CONFIGURATIONS_H
#define CONFIGURATIONS_H

#include <anynorm/anynorm.h>

#define CONFIGURATION_OPTIONS sizeof(((anynorm_plan_info *)0)->options)

/* A backend whose driver, at least in part, is the program's own. */
struct lister {
    const char *target;            /* the first field of each line */
    anynorm_device *(*open)(void); /* for the plans of one spec */
    void (*close)(anynorm_device *device);
    /* Of the plan just made, the name of its program, static, and the options that tell it apart
     * from others of that program; NULL: it is none that is known. */
    const char *(*tell)(anynorm_plan *plan, char options[CONFIGURATION_OPTIONS]);
};

/* Writes one line for each different configuration of a spec, fields parted by tabs:
 *
 *     target  first|other  choice  group  from  to  estimated  spec  program  options
 *
 * first: the library's own choice for some number of columns; other: it fits, and serves only where
 * those before it fail to compile, or where a caller asks for it. from, to: the numbers of columns;
 * estimated: those among them, parted by commas, for which it comes first and of which
 * ci/compile-kernels has estimates. The spec is of a number that is usual among them. quick: of
 * fewer types and flags, and first ones alone. */
void list_configurations(const struct lister *lister, bool quick);

/* The library's own choices, and nothing kept from elsewhere. */
void forget_settings(void);

_Noreturn void die(const char *what);

#endif
