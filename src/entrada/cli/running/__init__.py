"""`entrada run -- COMMAND`: an application and its process, behind the gateway.

products     what is known of Streamlit, Gradio, Chainlit, marimo, Panel and Bokeh
command      the command as it is started: address, variables, options
supervisor   the process between us and the application: what it starts ends with it, however we end
listening    who listens where, as the system tells it
"""
