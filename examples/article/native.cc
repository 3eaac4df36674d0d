// The Python module `native`: E for Python.
#include <Python.h>

#include "E.h"

static PyObject* call(PyObject*, PyObject*) { return PyLong_FromLong(e::call()); }

static PyObject* address(PyObject*, PyObject*) {
  return PyLong_FromVoidPtr(const_cast<void*>(e::address()));
}

static PyMethodDef methods[] = {
    {"call", call, METH_NOARGS, "Call F by way of E."},
    {"address", address, METH_NOARGS, "Where the counter that E uses lies in memory."},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", nullptr, -1, methods};

PyMODINIT_FUNC PyInit_native() { return PyModule_Create(&module); }
