"""What is read and written on the wire: requests, responses, parameters, errors; no rule of who may."""
