/* What has the compiler check a function's arguments against its format. */
#ifndef AN_PRINTF_H
#define AN_PRINTF_H

/* Of GNU's printf, which is that of C: mingw's plain "printf" is Microsoft's, without %zu. */
#if defined(__MINGW32__)
#define AN_PRINTF(which, first) __attribute__((format(gnu_printf, which, first)))
#else
#define AN_PRINTF(which, first) __attribute__((format(printf, which, first)))
#endif

#endif
