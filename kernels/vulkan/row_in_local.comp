#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE SUBGROUPS
/* row_in_local: as row_per_group, but the group holds the row in local memory. For rows that are
 * too long for registers. */
#define IN_LOCAL 1
#include "row_held.glsl"
