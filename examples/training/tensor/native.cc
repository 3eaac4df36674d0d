// Arithmetic on arrays of float, given by Python's buffer protocol: `array.array("f")` is one.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <tinyblas.h>

#include <cmath>

namespace {

// A buffer that is let go at the end of the scope.
class Floats {
public:
    Floats(PyObject *object, Py_ssize_t size, bool writable = false) {
        const int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (writable ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(object, &view_, flags) != 0) return;
        held_ = true;
        good_ = view_.itemsize == sizeof(float) && view_.len == size * Py_ssize_t(sizeof(float));
        if (!good_) PyErr_SetString(PyExc_ValueError, "an array of another size is wanted");
    }
    ~Floats() {
        if (held_) PyBuffer_Release(&view_);
    }
    explicit operator bool() const { return good_; }
    float *data() const { return static_cast<float *>(view_.buf); }

private:
    Py_buffer view_{};
    bool held_ = false, good_ = false;
};

PyObject *multiply_add(PyObject *, PyObject *args) {
    PyObject *a, *b, *c;
    int ta, tb, m, n, k;
    if (!PyArg_ParseTuple(args, "OOOiiipp", &a, &b, &c, &m, &n, &k, &ta, &tb)) return nullptr;
    const Floats left(a, Py_ssize_t(m) * k), right(b, Py_ssize_t(k) * n);
    const Floats out(c, Py_ssize_t(m) * n, true);
    if (!left || !right || !out) return nullptr;
    tb_sgemm(ta, tb, m, n, k, left.data(), right.data(), out.data());
    Py_RETURN_NONE;
}

PyObject *tanh_of(PyObject *, PyObject *args) {
    PyObject *x;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "On", &x, &size)) return nullptr;
    const Floats values(x, size, true);
    if (!values) return nullptr;
    for (Py_ssize_t i = 0; i < size; i++) values.data()[i] = std::tanh(values.data()[i]);
    Py_RETURN_NONE;
}

// gradient of x where y = tanh(x) and `y_gradient` is that of y, in place of the latter.
PyObject *tanh_back(PyObject *, PyObject *args) {
    PyObject *y, *gradient;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "OOn", &y, &gradient, &size)) return nullptr;
    const Floats values(y, size), back(gradient, size, true);
    if (!values || !back) return nullptr;
    for (Py_ssize_t i = 0; i < size; i++)
        back.data()[i] *= 1.0f - values.data()[i] * values.data()[i];
    Py_RETURN_NONE;
}

// The mean cross entropy of rows of scores against the right columns; the scores become its gradient.
PyObject *cross_entropy(PyObject *, PyObject *args) {
    PyObject *scores, *right;
    Py_ssize_t rows, columns;
    if (!PyArg_ParseTuple(args, "OOnn", &scores, &right, &rows, &columns)) return nullptr;
    const Floats x(scores, rows * columns, true);
    if (!x) return nullptr;
    double loss = 0;
    for (Py_ssize_t row = 0; row < rows; row++) {
        PyObject *item = PySequence_GetItem(right, row);
        const Py_ssize_t wanted = item ? PyLong_AsSsize_t(item) : -1;
        Py_XDECREF(item);
        if (PyErr_Occurred()) return nullptr;
        if (wanted < 0 || wanted >= columns) {
            PyErr_SetString(PyExc_IndexError, "there is no such column");
            return nullptr;
        }
        float *line = x.data() + row * columns, most = line[0];
        for (Py_ssize_t i = 1; i < columns; i++) most = std::fmax(most, line[i]);
        double sum = 0;
        for (Py_ssize_t i = 0; i < columns; i++) sum += line[i] = std::exp(line[i] - most);
        loss -= std::log(line[wanted] / sum);
        for (Py_ssize_t i = 0; i < columns; i++) line[i] /= float(sum * rows);
        line[wanted] -= 1.0f / rows;
    }
    return PyFloat_FromDouble(loss / rows);
}

// x -= rate * gradient, and the gradient becomes zero.
PyObject *descend(PyObject *, PyObject *args) {
    PyObject *x, *gradient;
    Py_ssize_t size;
    float rate;
    if (!PyArg_ParseTuple(args, "OOnf", &x, &gradient, &size, &rate)) return nullptr;
    const Floats values(x, size, true), back(gradient, size, true);
    if (!values || !back) return nullptr;
    for (Py_ssize_t i = 0; i < size; i++) {
        values.data()[i] -= rate * back.data()[i];
        back.data()[i] = 0;
    }
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"multiply_add", multiply_add, METH_VARARGS, "c += a b, for sizes m, n, k"},
    {"tanh", tanh_of, METH_VARARGS, "tanh in place"},
    {"tanh_back", tanh_back, METH_VARARGS, "gradient before tanh, in place"},
    {"cross_entropy", cross_entropy, METH_VARARGS, "loss; scores become their gradient"},
    {"descend", descend, METH_VARARGS, "one step of gradient descent"},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", nullptr, -1, methods,
                      nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() { return PyModule_Create(&module); }
