#include <limits>

#include "cudnn_types.h"
#include "library.h"

namespace standin = lockstep::standin;

namespace {

template <class Struct>
cudnnStatus_t create(const char* call, const char* kind, Struct** descriptor) {
  if (standin::must_fail(call)) return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
  const auto lock = standin::enter();
  if (descriptor == nullptr)
    standin::violation(std::string(call) + ": nowhere to put the descriptor, a crash");
  *descriptor = standin::Handles<Struct>::instance().create(kind);
  return CUDNN_STATUS_SUCCESS;
}

template <class Struct>
cudnnStatus_t destroy(const char* call, const char* kind, Struct* descriptor) {
  const bool fails = standin::must_fail(call);
  const auto lock = standin::enter();
  if (descriptor == nullptr) return CUDNN_STATUS_SUCCESS;
  standin::check_handle(descriptor, call, kind);
  standin::Handles<Struct>::instance().destroy(descriptor, kind);
  return fails ? CUDNN_STATUS_INTERNAL_ERROR : CUDNN_STATUS_SUCCESS;
}

bool known(cudnnDataType_t type) {
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_HALF ||
         type == CUDNN_DATA_INT32 || type == CUDNN_DATA_BFLOAT16;
}

/// Sets a descriptor of four extents, whichever it is.
template <class Struct>
cudnnStatus_t set_extents(const char* call, Struct* descriptor, cudnnTensorFormat_t format,
                          cudnnDataType_t type, std::array<int, 4> extents) {
  if (standin::must_fail(call)) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (descriptor == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (!known(type) || (format != CUDNN_TENSOR_NCHW && format != CUDNN_TENSOR_NHWC))
    return CUDNN_STATUS_BAD_PARAM;
  std::int64_t count = 1;
  for (const int extent : extents) {
    if (extent <= 0) return CUDNN_STATUS_BAD_PARAM;
    count *= extent;
    if (count > std::numeric_limits<std::int32_t>::max()) return CUDNN_STATUS_NOT_SUPPORTED;
  }
  *descriptor = {.set = true, .format = format, .type = type, .extents = extents};
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t* tensorDesc) {
  return create("cudnnCreateTensorDescriptor", "cudnnTensorDescriptor_t", tensorDesc);
}

cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t tensorDesc, cudnnTensorFormat_t format,
                                         cudnnDataType_t dataType, int n, int c, int h, int w) {
  return set_extents("cudnnSetTensor4dDescriptor", tensorDesc, format, dataType, {n, c, h, w});
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensorDesc) {
  return destroy("cudnnDestroyTensorDescriptor", "cudnnTensorDescriptor_t", tensorDesc);
}

cudnnStatus_t cudnnCreateFilterDescriptor(cudnnFilterDescriptor_t* filterDesc) {
  return create("cudnnCreateFilterDescriptor", "cudnnFilterDescriptor_t", filterDesc);
}

cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t filterDesc, cudnnDataType_t dataType,
                                         cudnnTensorFormat_t format, int k, int c, int h, int w) {
  return set_extents("cudnnSetFilter4dDescriptor", filterDesc, format, dataType, {k, c, h, w});
}

cudnnStatus_t cudnnDestroyFilterDescriptor(cudnnFilterDescriptor_t filterDesc) {
  return destroy("cudnnDestroyFilterDescriptor", "cudnnFilterDescriptor_t", filterDesc);
}

cudnnStatus_t cudnnCreateActivationDescriptor(cudnnActivationDescriptor_t* activationDesc) {
  return create("cudnnCreateActivationDescriptor", "cudnnActivationDescriptor_t", activationDesc);
}

cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t activationDesc,
                                           cudnnActivationMode_t mode, cudnnNanPropagation_t reluNanOpt,
                                           double coef) {
  if (standin::must_fail("cudnnSetActivationDescriptor")) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (activationDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (mode < CUDNN_ACTIVATION_SIGMOID || mode > CUDNN_ACTIVATION_SWISH ||
      reluNanOpt < CUDNN_NOT_PROPAGATE_NAN || reluNanOpt > CUDNN_PROPAGATE_NAN)
    return CUDNN_STATUS_BAD_PARAM;
  *activationDesc = {.set = true, .mode = mode, .nan = reluNanOpt, .coefficient = coef};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyActivationDescriptor(cudnnActivationDescriptor_t activationDesc) {
  return destroy("cudnnDestroyActivationDescriptor", "cudnnActivationDescriptor_t", activationDesc);
}

cudnnStatus_t cudnnCreateConvolutionDescriptor(cudnnConvolutionDescriptor_t* convDesc) {
  return create("cudnnCreateConvolutionDescriptor", "cudnnConvolutionDescriptor_t", convDesc);
}

cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t convDesc, int pad_h, int pad_w,
                                              int u, int v, int dilation_h, int dilation_w,
                                              cudnnConvolutionMode_t mode, cudnnDataType_t computeType) {
  if (standin::must_fail("cudnnSetConvolution2dDescriptor")) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (convDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (pad_h < 0 || pad_w < 0 || u <= 0 || v <= 0 || dilation_h <= 0 || dilation_w <= 0)
    return CUDNN_STATUS_BAD_PARAM;
  if ((mode != CUDNN_CONVOLUTION && mode != CUDNN_CROSS_CORRELATION) || !known(computeType))
    return CUDNN_STATUS_BAD_PARAM;
  // Setting the shape leaves the math type as it is.
  *convDesc = {.set = true,
               .padding = {pad_h, pad_w},
               .stride = {u, v},
               .dilation = {dilation_h, dilation_w},
               .mode = mode,
               .compute = computeType,
               .math = convDesc->math};
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t convDesc, cudnnMathType_t mathType) {
  if (standin::must_fail("cudnnSetConvolutionMathType")) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (convDesc == nullptr) return CUDNN_STATUS_BAD_PARAM;
  if (mathType < CUDNN_DEFAULT_MATH || mathType > CUDNN_FMA_MATH) return CUDNN_STATUS_BAD_PARAM;
  convDesc->math = mathType;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyConvolutionDescriptor(cudnnConvolutionDescriptor_t convDesc) {
  return destroy("cudnnDestroyConvolutionDescriptor", "cudnnConvolutionDescriptor_t", convDesc);
}

cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(const cudnnConvolutionDescriptor_t convDesc,
                                                    const cudnnTensorDescriptor_t inputTensorDesc,
                                                    const cudnnFilterDescriptor_t filterDesc, int* n, int* c,
                                                    int* h, int* w) {
  if (standin::must_fail("cudnnGetConvolution2dForwardOutputDim")) return CUDNN_STATUS_INTERNAL_ERROR;
  const auto lock = standin::enter();
  if (convDesc == nullptr || inputTensorDesc == nullptr || filterDesc == nullptr)
    return CUDNN_STATUS_BAD_PARAM;
  if (n == nullptr || c == nullptr || h == nullptr || w == nullptr)
    standin::violation("cudnnGetConvolution2dForwardOutputDim: nowhere to put the extents, a crash");
  if (!convDesc->set || !inputTensorDesc->set || !filterDesc->set) return CUDNN_STATUS_BAD_PARAM;
  if (inputTensorDesc->extents[1] != filterDesc->extents[1]) return CUDNN_STATUS_BAD_PARAM;
  const auto [rows, columns] = standin::output_extent(*convDesc, *inputTensorDesc, *filterDesc);
  if (rows <= 0 || columns <= 0) return CUDNN_STATUS_BAD_PARAM;
  *n = inputTensorDesc->extents[0];
  *c = filterDesc->extents[0];
  *h = static_cast<int>(rows);
  *w = static_cast<int>(columns);
  return CUDNN_STATUS_SUCCESS;
}

namespace lockstep::standin {

std::array<std::int64_t, 2> output_extent(const cudnnConvolutionStruct& convolution,
                                          const cudnnTensorStruct& input, const cudnnFilterStruct& filter) {
  std::array<std::int64_t, 2> result = {};
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t reach =
        std::int64_t{filter.extents[2 + d] - 1} * convolution.dilation[d] + 1;  // cells that a filter spans
    const std::int64_t room = input.extents[2 + d] + 2 * std::int64_t{convolution.padding[d]} - reach;
    result[d] = room < 0 ? 0 : room / convolution.stride[d] + 1;
  }
  return result;
}

cudnnStatus_t resolve(cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t filter,
                      cudnnConvolutionDescriptor_t convolution, cudnnTensorDescriptor_t y,
                      Convolution& result) {
  if (x == nullptr || filter == nullptr || convolution == nullptr || y == nullptr)
    return CUDNN_STATUS_BAD_PARAM;
  if (!x->set || !filter->set || !convolution->set || !y->set) return CUDNN_STATUS_BAD_PARAM;
  if (x->type != filter->type || x->type != y->type || x->extents[1] != filter->extents[1])
    return CUDNN_STATUS_BAD_PARAM;
  const auto [rows, columns] = output_extent(*convolution, *x, *filter);
  if (rows <= 0 || columns <= 0) return CUDNN_STATUS_BAD_PARAM;
  if (y->extents !=
      std::array{x->extents[0], filter->extents[0], static_cast<int>(rows), static_cast<int>(columns)})
    return CUDNN_STATUS_BAD_PARAM;

  // The rest is what cuDNN has more of than Lockstep uses, and this stand-in lacks.
  if (x->format != CUDNN_TENSOR_NCHW || filter->format != CUDNN_TENSOR_NCHW || y->format != CUDNN_TENSOR_NCHW)
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (x->type != CUDNN_DATA_FLOAT && x->type != CUDNN_DATA_BFLOAT16) return CUDNN_STATUS_NOT_SUPPORTED;
  if (convolution->compute != CUDNN_DATA_FLOAT || convolution->mode != CUDNN_CROSS_CORRELATION)
    return CUDNN_STATUS_NOT_SUPPORTED;
  if (convolution->math == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) return CUDNN_STATUS_NOT_SUPPORTED;

  result = {.n = x->extents[0],
            .c = x->extents[1],
            .h = x->extents[2],
            .w = x->extents[3],
            .k = filter->extents[0],
            .r = filter->extents[2],
            .s = filter->extents[3],
            .p = rows,
            .q = columns,
            .padding = convolution->padding,
            .stride = convolution->stride,
            .dilation = convolution->dilation,
            .type = x->type,
            .math = convolution->math};
  return CUDNN_STATUS_SUCCESS;
}

}  // namespace lockstep::standin
