/* THE internal interface: what a backend gives to the rest of the library.
 *
 * A backend is one table of functions. Everything above it (device.c, plan.c, run.c) is written
 * once for all of them; a backend never validates what the caller passed: arguments arrive checked,
 * the spec resolved, rows 1 or more. Functions return a status with its message set (an_fail).
 */
#ifndef AN_BACKEND_H
#define AN_BACKEND_H

#include <stdatomic.h>

#include "choice/choice.h"
#include "spec/gradient.h"
#include "spec/tensors.h"

struct an_backend;

/* The head of every backend's device, with which the backend's own, larger structure begins. */
struct anynorm_device {
    const struct an_backend *backend;
    anynorm_device_info info;
    const void *owner;      /* what its buffers carry as their owner */
    atomic_uint references; /* the handle's own, and one for each plan */
    atomic_bool warned;     /* of sub-groups that fail, which once is enough for */
};

/* What a kernel's build options may take, closing zero included. */
#define AN_OPTIONS_BYTES sizeof(((anynorm_plan_info *)0)->options)

/* The head of every backend's plan. */
struct anynorm_plan {
    anynorm_device *device;
    anynorm_spec spec; /* resolved */
    struct an_choice choice;
    char options[AN_OPTIONS_BYTES]; /* for anynorm_plan_describe */
};

struct an_backend {
    const char *name;

    /* Devices: how many there are, what each is, and opening one (by an_quirks_mask_device,
     * one reference held). `close` frees what `open` made. */
    size_t (*count)(void);
    anynorm_status (*list)(size_t index, anynorm_device_info *info);
    anynorm_status (*open)(size_t index, anynorm_device **device);
    void (*close)(anynorm_device *device);

    /* Memory. `wrap_host` makes host memory a buffer without copying (`written`: kernels write it);
     * UNSUPPORTED where it cannot. `unwrap_host` makes what kernels wrote visible to the host and
     * drops the buffer. Both NULL where it never can. */
    anynorm_status (*memory_create)(anynorm_device *device, uint64_t bytes, anynorm_buffer *buffer);
    void (*memory_destroy)(anynorm_device *device, anynorm_buffer *buffer);
    anynorm_status (*memory_write)(anynorm_device *device, const anynorm_buffer *buffer,
                                   const void *host, uint64_t bytes);
    anynorm_status (*memory_read)(anynorm_device *device, const anynorm_buffer *buffer, void *host,
                                  uint64_t bytes);
    anynorm_status (*wrap_host)(anynorm_device *device, void *host, uint64_t bytes, bool written,
                                anynorm_buffer *buffer);
    anynorm_status (*unwrap_host)(anynorm_device *device, anynorm_buffer *buffer, bool written);

    /* UNSUPPORTED, with the limit, where a limit of the device excludes the spec whatever the
     * schedule; NULL: there are no such limits. */
    anynorm_status (*spec_check)(const anynorm_device *device, const anynorm_spec *spec);

    /* Compiles, or takes the program of `binary` (packed and intact; NULL: none), which must then
     * be this very kernel's: UNSUPPORTED. Where the compiled kernel takes fewer work-items per
     * group than `choice` asks, fails with UNSUPPORTED and that number in *group_limit (else 0).
     * The backend fills its own fields and `options`; plan.c the rest of the head. */
    anynorm_status (*plan_create)(anynorm_device *device, const anynorm_spec *spec,
                                  const struct an_choice *choice, const void *binary,
                                  anynorm_plan **plan, uint64_t *group_limit);
    void (*plan_destroy)(anynorm_plan *plan);

    /* Packs the compiled program, the plan's choice its label: to be freed. Both functions NULL
     * where nothing is compiled. `plan_warm_up` makes everything compile that launches of 1 and of
     * `rows` rows would, and waits for it. */
    anynorm_status (*plan_binary)(anynorm_plan *plan, void **packed, size_t *size);
    anynorm_status (*plan_warm_up)(anynorm_plan *plan, uint64_t rows);

    /* On the device's own queue; rows may be 0, then the event is that of the wait list. The
     * tensors are those of the stretch: its first row, sample and row of parameters are theirs; but
     * the workspace is the call's. Only sums over rows know that there are other rows. Where it
     * fails with a part of the work under way, *event is that part's, and valid, all the same. */
    anynorm_status (*enqueue)(anynorm_plan *plan, const anynorm_tensors *tensors,
                              const struct an_stretch *stretch, uint32_t wait_count,
                              const anynorm_event *wait_list, anynorm_event *event);
    anynorm_status (*event_wait)(const anynorm_event *event);
    anynorm_status (*event_elapsed)(const anynorm_event *event, uint64_t *nanoseconds);
    void (*event_release)(anynorm_event *event);
};

/* Those that there may be; a build may lack the first two. */
extern const struct an_backend an_opencl_backend, an_vulkan_backend, an_reference_backend;

#endif
