#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE SUBGROUPS
/* row_per_group: the lanes of a row are a work-group, which holds it in registers; or, where that
 * is more than a row needs, a share of one. For GPUs, and whatever else has lanes. */
#include "row_held.glsl"
