// A dashboard drawn with Grafana's own panel components, from answers that a Prometheus gave.
// draw.mjs bundles this and opens it; window.dashboard has the data.
import { dateTime, EventBusSrv, getFieldDisplayValues, ThemeContext, type DataFrame } from '@grafana/data';
import { BigValue, GlobalStyles, Icon, PanelChrome, PanelContextProvider, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import * as React from 'react';
import { createRoot } from 'react-dom/client';

import { framesOf, theme, type PanelData } from './frames';

const COLUMN = 1 / 24;
const ROW = 30; // pixels, Grafana's own
const GAP = 8;

interface Shown {
  title: string;
  variables: Array<[string, string]>;
  from: number;
  to: number;
  step: number;
  panels: PanelData[];
}
const shown: Shown = (window as any).dashboard;
const range = {
  from: dateTime(shown.from * 1000), to: dateTime(shown.to * 1000),
  raw: { from: dateTime(shown.from * 1000), to: dateTime(shown.to * 1000) },
};

function Stat({ panel, frames, width, height }: any) {
  const { options, fieldConfig } = panel;
  const values = getFieldDisplayValues({
    fieldConfig, reduceOptions: options.reduceOptions, replaceVariables: (text: string) => text, theme,
    data: frames, sparkline: options.graphMode !== 'none', timeZone: 'utc',
  });
  return (
    <VizRepeater
      source={values} width={width} height={height} getValues={() => values} orientation={'horizontal' as any}
      renderValue={({ value, width, height }: any) => (
        <BigValue value={value.display} sparkline={value.sparkline} width={width} height={height} theme={theme}
          colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode}
          textMode={options.textMode} wideLayout />
      )}
    />
  );
}

function Empty({ panel }: any) {
  return (
    <div style={{ height: '100%', display: 'flex', alignItems: 'center', justifyContent: 'center', color: theme.colors.text.secondary }}>
      {panel.fieldConfig.defaults.noValue ?? 'No data'}
    </div>
  );
}

function Content({ panel, frames, width, height }: any) {
  if (panel.type === 'stat') {
    return <Stat panel={panel} frames={frames} width={width} height={height} />;
  }
  if (!frames.some((frame: DataFrame) => frame.length > 0)) {
    return <Empty panel={panel} />;
  }
  if (panel.type === 'table') {
    return <TableNG data={frames[0]} width={width} height={height} cellHeight={panel.options.cellHeight} timeRange={range as any} />;
  }
  if (panel.type === 'timeseries') {
    return (
      <TimeSeries frames={frames} width={width} height={height} timeRange={range as any} timeZone="utc"
        legend={panel.options.legend} options={panel.options} />
    );
  }
  throw new Error(`no component for panels of type ${panel.type}`);
}

function Panels({ frames, width }: { frames: DataFrame[][]; width: number }) {
  const place = ({ x, y, w, h }: any) => ({
    left: x * COLUMN * width + GAP / 2, top: y * (ROW + GAP) + GAP / 2,
    width: w * COLUMN * width - GAP, height: h * (ROW + GAP) - GAP,
  });
  return (
    <>
      {shown.panels.map(({ panel }, i) => {
        const at = place(panel.gridPos);
        return (
          <div key={panel.id} style={{ position: 'absolute', ...at }}>
            {panel.type === 'row' ? (
              <div style={{ padding: '6px 4px', fontSize: 16, fontWeight: 500 }}>
                <Icon name="angle-down" /> {panel.title}
              </div>
            ) : (
              <PanelChrome title={panel.title} width={at.width} height={at.height} padding={panel.type === 'table' ? 'none' : 'md'}>
                {(width, height) => <Content panel={panel} frames={frames[i]} width={width} height={height} />}
              </PanelChrome>
            )}
          </div>
        );
      })}
    </>
  );
}

function Chosen({ label, value }: { label: string; value: string }) {
  const box = { border: `1px solid ${theme.colors.border.medium}`, padding: '4px 8px', fontSize: 12 };
  return (
    <span style={{ marginRight: 16 }}>
      <span style={{ ...box, background: theme.colors.background.secondary, borderRight: 'none' }}>{label}</span>
      <span style={{ ...box, background: theme.components.input.background }}>{value} <Icon name="angle-down" size="sm" /></span>
    </span>
  );
}

async function main() {
  const width = document.documentElement.clientWidth - 2 * GAP;
  const frames = await Promise.all(shown.panels.map((data) => (data.panel.type === 'row' ? [] : framesOf(data, shown.step))));
  const last = shown.panels.map(({ panel: { gridPos } }) => gridPos.y + gridPos.h);
  createRoot(document.getElementById('root')!).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <PanelContextProvider value={{ eventsScope: 'page', eventBus: new EventBusSrv() } as any}>
        <div style={{ padding: GAP, background: theme.colors.background.canvas }}>
          <div style={{ height: 32, fontSize: 18, fontWeight: 500, padding: '0 4px' }}>{shown.title}</div>
          <div style={{ height: 40, padding: '6px 4px' }}>
            {shown.variables.map(([label, value]) => <Chosen key={label} label={label} value={value} />)}
          </div>
          <div style={{ position: 'relative', height: Math.max(...last) * (ROW + GAP) }}>
            <Panels frames={frames} width={width} />
          </div>
        </div>
      </PanelContextProvider>
    </ThemeContext.Provider>,
  );
}

main().catch((error) => { document.title = `failed: ${error.stack}`; });
