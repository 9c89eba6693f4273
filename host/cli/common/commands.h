/* The commands. Each gets the arguments from its own name on (argv[0] is "devices") and returns the
 * exit status, its error already printed. */
#ifndef ANYNORM_CLI_COMMANDS_H
#define ANYNORM_CLI_COMMANDS_H

int cli_bench(int argc, char **argv);
int cli_devices(int argc, char **argv);
int cli_norm(int argc, char **argv); /* layer-norm and its family */
int cli_tune(int argc, char **argv);
int cli_verify(int argc, char **argv);

#endif
