/* JSON strings. */
#ifndef ANYNORM_CLI_JSON_H
#define ANYNORM_CLI_JSON_H

/* Prints `text` on stdout in quotes, escaped; bytes that are no UTF-8 become U+FFFD. */
void json_print_string(const char *text);

#endif
