import os

if os.environ.get("UNDER_TEST") == "scikit-learn":
    from sklearn.neural_network import MLPClassifier, MLPRegressor
else:
    from fastfnn.sklearn import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
