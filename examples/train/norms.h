/* The norms of a model, by anynorm, on the model's own queue and memory. */
#ifndef TRAIN_NORMS_H
#define TRAIN_NORMS_H

#include "model.h"

void norms_open(struct model *model); /* makes the plans and their workspace */
void norms_close(struct model *model);

/* Adds model.branch and its bias to the stream at point k - 1 and normalizes what that gives, in
 * one kernel. At point 0 there is nothing to add. */
void norms_forward(struct model *model, int point);
/* And back: dstream becomes the gradient of the sum, which is the branch's and the stream's. */
void norms_backward(struct model *model, int point);

#endif
