#version 450
#extension GL_GOOGLE_include_directive : require
// Variants: STORAGE16 ACC_DOUBLE SUBGROUPS=1
/* row_per_subgroup: the lanes of a row are a sub-group or a part of one, several rows side by side
 * in a group, and no barrier anywhere. For short rows on GPUs. */
#include "row_held.glsl"
