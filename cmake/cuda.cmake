# The CUDA compiler, and how the sources of the GPU's backend are built. The runtime is linked in statically and opens the
# driver's library when it is first asked for a GPU, so that the program starts where there is neither.

find_program(CMAKE_CUDA_COMPILER nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
if(NOT CMAKE_CUDA_COMPILER)
  message(FATAL_ERROR "SMOLLM3_CUDA needs nvcc: install the CUDA toolkit, or name its compiler with -DCMAKE_CUDA_COMPILER=…")
endif()
# Ampere, Ada and Hopper (with its warpgroup instructions); what is newer translates Ada's PTX when it starts.
if(NOT CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 89 90a-real CACHE STRING "GPU architectures to compile for" FORCE)
endif()
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has C++20
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
find_package(CUDAToolkit 12 REQUIRED)

# smollm3_cuda_objects(NAME SOURCES a.cu b.cpp …): objects that become part of another library. GCC's stricter warnings
# are for the .cpp files: what nvcc makes of a .cu file before GCC sees it would not pass them.
function(smollm3_cuda_objects name)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  add_library(${name} OBJECT ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE smollm3_options CUDA::cudart_static)
  target_compile_options(${name} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr>
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wshadow,-ffp-contract=off>)
  if(SMOLLM3_WERROR)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings>)
  endif()
endfunction()
