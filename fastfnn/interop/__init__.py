"""Networks of other libraries, and files for them: ONNX, PyTorch, Keras, scikit-learn.

None of these libraries is imported before a function here needs it. `network.FNN` and the estimators have thin methods
that call this package: `to_onnx`, `to_torch`; `from_torch`, `from_keras` and `from_sklearn` are names of `fastfnn`.

    onnx.py            models of networks, estimators and tables; files
      onnx_graph.py    a graph under construction
      onnx_functions.py    activations, made of operators
      columns.py       the columns of a table
    torch.py, keras.py what the layers of a model say, and for PyTorch the way back
      chain.py         layers of another library become a network
      torch_modules.py     modules that PyTorch lacks
    scikit_learn.py    fitted networks of scikit-learn become our estimators
    missing.py         the error where a library is not installed
"""
