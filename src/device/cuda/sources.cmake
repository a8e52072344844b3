# The sources of the GPU path, for all who build it: CMakeLists.txt here, with nvcc and NVIDIA's libraries, and the tests'
# stand-in for them, with the C++ compiler alone.

# Compiled by the C++ compiler.
set(LOCKSTEP_CUDA_SOURCES
  choices.cpp convolution.cpp cuda_accelerator.cpp cudnn_convolution.cpp dense.cpp device_facts.cpp error.cpp flatten.cpp lane.cpp layer.cpp
  layer_error.cpp libraries.cpp memory.cpp network_plan.cpp network_runner.cpp stream.cpp
  sum_program.cpp)
# With kernels: compiled by nvcc.
set(LOCKSTEP_CUDA_KERNEL_SOURCES
  activation.cu bias.cu clear_gaps.cu dropout.cu image_copies.cu loss.cu pooled_convolution.cu pooling.cu
  kernels/decision.cu kernels/gather.cu kernels/hash_blocks.cu kernels/probe.cu kernels/sums.cu kernels/update.cu)
# Collectives over NCCL; without it, src/comm/no_nccl.cpp of the library comm takes their place.
set(LOCKSTEP_NCCL_SOURCES nccl_collective.cpp nccl_communicator.cpp)

list(TRANSFORM LOCKSTEP_CUDA_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM LOCKSTEP_CUDA_KERNEL_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM LOCKSTEP_NCCL_SOURCES PREPEND ${CMAKE_CURRENT_LIST_DIR}/../../comm/)
