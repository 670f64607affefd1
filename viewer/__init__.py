"""The web page where recordings are found, played and downloaded: Streamlit for the frame, own components for pictures.

It only reads the catalogue (role viewer) and the stores; the only thing it writes is the log of views and downloads.
"""
