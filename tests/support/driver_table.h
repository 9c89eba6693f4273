/* The table of OpenCL functions with entries replaced: answers that ours does not give. */
#ifndef AN_TESTS_DRIVER_TABLE_H
#define AN_TESTS_DRIVER_TABLE_H

#include "opencl_support.h"

#include "opencl/library.h"

extern struct an_cl *table; /* the process's own; NULL: there is no libOpenCL */
extern struct an_cl real;   /* what the driver has in it */

/* cmocka's group setup, and a test's teardown. */
int take_table(void **state);
int restore(void **state);

/* The device to lie about; false where there is none. */
extern char device_id[32];
bool have_device(void);

anynorm_spec usual_spec(void);
/* Runs the usual problem and returns what the event tells; the results are checked if it is OK. */
anynorm_status wait_for_usual(anynorm_device *device, anynorm_plan *plan);

#endif
