/* A device's table of Vulkan functions of which one call, or all from one call on, fail. */
#ifndef AN_TESTS_VULKAN_FAULT_TABLE_H
#define AN_TESTS_VULKAN_FAULT_TABLE_H

#include <stdbool.h>

#include "vulkan/library.h"
#include <anynorm/anynorm.h>

extern struct vulkan_fault {
    unsigned long at; /* this call, counted from 1; 0: none */
    bool sticky;      /* and every later one */
    VkResult code;
    unsigned long calls;
    const char *call; /* the function it struck last; NULL: none in the present step */
} vulkan_fault;

/* Puts the wrappers into the device's table; they go with it. One device at a time. */
void vulkan_faults_install(anynorm_device *device);
const struct VolkDeviceTable *vulkan_faults_real(void);

/* Counts calls from 0 on again; `sticky` and `code` stay. */
void vulkan_faults_start(unsigned long at);

/* How many objects the library holds: made, and not destroyed. */
long vulkan_faults_live(void);

/* Prints how often faults struck, over all that was started. */
void vulkan_faults_print(void);

#endif
