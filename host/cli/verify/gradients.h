/* Gradients of a case, against the reference's in double. */
#ifndef ANYNORM_CLI_VERIFY_GRADIENTS_H
#define ANYNORM_CLI_VERIFY_GRADIENTS_H

#include "work.h"

/* Puts what the norm would have written (mean, rstd and sum) where its gradients read it. */
void gradients_save(struct work *w);

/* Compares all gradients of a case that has run. */
anynorm_status gradients_compare(anynorm_device *reference, struct work *w);

#endif
