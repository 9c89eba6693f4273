#!/bin/bash
# clang 14 and 15: __builtin_nontemporal_store takes no notice of the alignment that its pointer's type states.
#
# A type that lowers a vector's alignment is the usual way to store to where only elements are aligned, and an
# assignment through such a pointer keeps to it. The builtin of the same pointer promises the vector's own alignment:
# on x86 the store is then an instruction that wants it. clang 19.1.7 keeps to the pointer's type. PoCL 3.1 of Debian
# 12 compiles OpenCL C by clang 15.
# Seen 2026-12-01: "align 16" for the assignment and "align 32" for the builtin, of a pointer to what is aligned to 16.
# Nothing is run that was compiled. Fails when the two are alike.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq download clang-15=1:15.0.6-4+b1 libclang-cpp15=1:15.0.6-4+b1 libllvm15=1:15.0.6-4+b1
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu:$folder/usr/lib/llvm-15/lib

cat >stores.c <<'END'
typedef unsigned vector __attribute__((vector_size(32)));
typedef vector loose __attribute__((aligned(16)));
void ordinary(loose *to, vector value) { *to = value; }
void streaming(loose *to, vector value) { __builtin_nontemporal_store(value, to); }
END
usr/lib/llvm-15/bin/clang --target=x86_64-linux-gnu -O1 -mavx2 -S -emit-llvm -o stores.ll stores.c
alignment_in() { # function
    sed -n "/@$1(/,/^}/s/.*store <8 x i32> .* align \([0-9]*\).*/\1/p" stores.ll
}
ordinary=$(alignment_in ordinary)
streaming=$(alignment_in streaming)
echo "aligned to: an assignment $ordinary, a streaming store $streaming"
[ "$ordinary" = 16 ] && [ "$streaming" = 32 ]
