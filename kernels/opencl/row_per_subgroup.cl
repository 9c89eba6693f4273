/* row_per_subgroup: the lanes of a row are a sub-group or a part of one, several rows side by side in
 * a group, and no barrier anywhere. For short rows on GPUs. */
#include "row_held.clh"
