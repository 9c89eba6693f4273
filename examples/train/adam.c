#include "model.h"

#include <math.h>

/* beta2 as in Vaswani et al. (arXiv:1706.03762) and Xiong et al. */
static const double beta1 = 0.9, beta2 = 0.98;

void model_adam(struct model *model, double rate)
{
    model->step++;
    machine_launch(model->machine, ADAM, (int)model->layout.numbers, 1,
                   &(struct arguments){
                       .memory = {model->parameters, model->gradients, model->first, model->second},
                       .floats = {(float)rate, (float)beta1, (float)beta2,
                                  (float)(1 / (1 - pow(beta1, model->step))),
                                  (float)(1 / (1 - pow(beta2, model->step)))}});
}
