"""What ci/compile-kernels is made of: devices that are not here (hardware), their compilers (opencl, vulkan),
those of them that are downloaded (fetch), what is compiled (configurations), and what came of it (estimate,
page)."""
