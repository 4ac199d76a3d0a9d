/* Search in pages that are opened as files: browsers start no worker there, so a hidden frame stands
   in for it. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      this.ready = new Promise((resolve) => this.frame.addEventListener("load", resolve))
      window.addEventListener("message", (event) => {
        if (event.source === this.frame.contentWindow)
          this.dispatchEvent(new MessageEvent("message", { data: event.data }))
      })
      this.frame.srcdoc =
        `<script>self.postMessage = (data) => parent.postMessage(data, "*")</script>` +
        `<script src="${url}"></script>`
      document.documentElement.append(this.frame)
    }

    postMessage(data) {
      this.ready.then(() => {
        const there = this.frame.contentWindow
        there.dispatchEvent(new there.MessageEvent("message", { data }))
      })
    }

    terminate() {
      this.frame.remove()
    }
  }
}
